# Sends a signed event to a handler, as the server does, to test the handler.
# Needs openssl and curl. WEBHOOK_SECRET is whsec_…; TARGET is the handler's URL.
set -eu
body='{"ClientId":1,"ApplicationId":1,"OrderId":1,"OrderNo":"SO-10023","ClientOrderRef":"B-1","Source":"WEB"}'
id="${WEBHOOK_ID:-evt_0c1m5k8s40000}"
sent_at=$(date +%s)
key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$(printf '%s.%s.%s' "$id" "$sent_at" "$body" |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
curl -sS -o /dev/null -w '%{http_code}\n' -X POST "${TARGET:-http://127.0.0.1:9000/}" \
  -H "content-type: application/json" -H "commerce-event-type: OrderConfirmedEvent" \
  -H "webhook-id: $id" -H "webhook-timestamp: $sent_at" -H "webhook-signature: v1,$signature" \
  -d "$body"
