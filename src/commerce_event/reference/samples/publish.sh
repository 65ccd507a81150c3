# Publishes an event. The status 202 means that it is stored durably.
# COMMERCE_EVENT_KEY is a key with the role publish.
# A second run does not publish the event again.
set -eu
server="${COMMERCE_EVENT_URL:-http://127.0.0.1:8080}"
curl -sS --fail-with-body -X POST \
  "$server/v1/events/OrderConfirmedEvent" \
  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" \
  -H "Content-Type: application/json" \
  -H "Idempotency-Key: order-100234567-confirmed" \
  -d '{
    "ClientId": 1006,
    "ApplicationId": 1042,
    "OrderId": 5012207,
    "OrderNo": "100234567",
    "ClientOrderRef": "884211",
    "FirstName": "Astrid",
    "LastName": "Lindström",
    "Source": "WEB"
  }'
