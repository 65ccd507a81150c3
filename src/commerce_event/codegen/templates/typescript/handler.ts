// Receives events: verifies the signature over the raw bytes, and does the work of each event once.
// Run it: npm install, then WEBHOOK_SECRET=whsec_… npm start
// PORT (9000), HOST (127.0.0.1) and DATABASE (events.db) may be set as well.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import Database from "better-sqlite3";
import { parseEvent, type KnownEvent } from "./events.js";

const TOLERANCE_S = 300;
const MAX_BODY_BYTES = 1024 * 1024;

const secret = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (secret.length < 24) throw new Error("WEBHOOK_SECRET must be the secret of the endpoint, whsec_…");

const database = new Database(process.env.DATABASE ?? "events.db", { timeout: 3000 });
database.exec("CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL)");
database.exec("CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL)"); // stands for your own tables
const remember = database.prepare(
  "INSERT INTO received_event VALUES (?, datetime('now')) ON CONFLICT DO NOTHING",
);
const addWork = database.prepare("INSERT INTO work (order_id) VALUES (?)");

// The work. The sender waits five seconds for the answer: what takes longer is put into a table and done later.
function work(event: KnownEvent): void {
  switch (event.type) {
    case "OrderConfirmedEvent":
      addWork.run(event.data.OrderId);
      break;
  }
}

// The id and the work are one transaction. After a crash both are stored or neither is, and then the event comes again.
const workOnce = database.transaction((id: string, event: KnownEvent) => {
  if (remember.run(id).changes === 1) work(event); // else a repeat
});

function isSigned(headers: IncomingHttpHeaders, body: Buffer): boolean {
  const sentAt = String(headers["webhook-timestamp"] ?? "");
  if (!/^\d{1,12}$/.test(sentAt) || Math.abs(Date.now() / 1000 - Number(sentAt)) > TOLERANCE_S) return false;
  const start = `${headers["webhook-id"]}.${sentAt}.`;
  const expected = createHmac("sha256", secret).update(start).update(body).digest();
  // Several signatures while a secret is rotated; one of them is enough.
  return String(headers["webhook-signature"] ?? "").split(" ").some((part) => {
    const given = Buffer.from(part.replace(/^v1,/, ""), "base64");
    return part.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size <= MAX_BODY_BYTES) pieces.push(piece);
  }
  return size <= MAX_BODY_BYTES ? Buffer.concat(pieces) : null;
}

async function answer(request: IncomingMessage): Promise<number> {
  if (request.method !== "POST") return 405;
  const body = await readBody(request);
  if (body === null) return 413;
  if (!isSigned(request.headers, body)) return 401;
  const id = String(request.headers["webhook-id"] ?? "");
  if (id === "") return 400;
  let event: KnownEvent | null;
  try {
    event = parseEvent(String(request.headers["commerce-event-type"] ?? ""), body.toString("utf8"));
  } catch (error) {
    console.error(id, "is refused:", error);
    return 400;
  }
  if (event !== null) workOnce.immediate(id, event); // else a type that this program does not know
  return 204;
}

const server = createServer((request, response) => {
  answer(request)
    .catch((error: unknown) => {
      console.error(error); // the event comes again
      return 500;
    })
    .then((status) => response.writeHead(status).end());
});
server.requestTimeout = 5000; // a slow sender does not hold a connection
server.listen(Number(process.env.PORT ?? 9000), process.env.HOST ?? "127.0.0.1");
