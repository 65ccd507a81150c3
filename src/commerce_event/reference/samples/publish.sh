# Publishes an event. COMMERCE_EVENT_KEY is a key that may publish; the answer 202 means that the event is durable.
# Sent again with the same Idempotency-Key, after a broken connection for example, the event is taken once.
set -eu
curl -sS --fail-with-body -X POST "${COMMERCE_EVENT_URL:-http://127.0.0.1:8080}/v1/events/OrderConfirmedEvent" \
  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \
  -H "Idempotency-Key: ${IDEMPOTENCY_KEY:-order-100234567-confirmed}" \
  -d '{
    "ClientId": 1006, "ApplicationId": 1042, "OrderId": 5012207, "OrderNo": "100234567",
    "ClientOrderRef": "884211", "FirstName": "Astrid", "LastName": "Lindström", "Source": "WEB"
  }'
