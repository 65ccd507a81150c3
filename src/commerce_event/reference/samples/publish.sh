# Publishes an event. COMMERCE_EVENT_KEY is a key of role publish; 202 means that the event is durable.
# With the same Idempotency-Key it can be sent again, after a broken connection, say: it is taken once.
set -eu
curl -sS --fail-with-body -X POST "${COMMERCE_EVENT_URL:-http://127.0.0.1:8080}/v1/events/OrderConfirmedEvent" \
  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \
  -H "Idempotency-Key: ${IDEMPOTENCY_KEY:-order-100234567-confirmed}" \
  -d '{
    "ClientId": 1006, "ApplicationId": 1042, "OrderId": 5012207, "OrderNo": "100234567",
    "ClientOrderRef": "884211", "FirstName": "Astrid", "LastName": "Lindström", "Source": "WEB"
  }'
