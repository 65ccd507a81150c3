<?php

// Receives events: verifies the signature over the raw bytes, and does the work of each event once.
// Run it: WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:9000 handler.php
// DATABASE (events.db) may be set as well. Behind a web server, every POST of the endpoint goes to this file.

require __DIR__ . '/events.php';

const TOLERANCE_S = 300;
const MAX_BODY_BYTES = 1024 * 1024;

ini_set('display_errors', '0'); // errors go to the log, not into the answer

// The work. The sender waits five seconds for the answer: what takes longer is put into a table and done later.
function work(PDO $database, object $event): void
{
    if ($event instanceof CommerceEvents\OrderConfirmedEvent) {
        $database->prepare('INSERT INTO work (order_id) VALUES (?)')->execute([$event->OrderId]);
    }
}

// The id and the work are one transaction. After a crash both are stored or neither is, and then the event comes again.
function work_once(PDO $database, string $id, object $event): void
{
    $database->exec('BEGIN IMMEDIATE');
    try {
        $remember = $database->prepare("INSERT INTO received_event VALUES (?, datetime('now')) ON CONFLICT DO NOTHING");
        $remember->execute([$id]);
        if ($remember->rowCount() === 1) {
            work($database, $event);
        } // else a repeat
        $database->exec('COMMIT');
    } catch (Throwable $error) {
        $database->exec('ROLLBACK');
        throw $error;
    }
}

function open_database(): PDO
{
    $database = new PDO('sqlite:' . (getenv('DATABASE') ?: __DIR__ . '/events.db'));
    $database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
    $database->setAttribute(PDO::ATTR_TIMEOUT, 3); // seconds
    $database->exec('CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL)');
    $database->exec('CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL)'); // stands for your own tables
    return $database;
}

function is_signed(string $secret, string $id, string $body): bool
{
    $sent_at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!preg_match('/^\d{1,12}\z/', $sent_at) || abs(time() - (int) $sent_at) > TOLERANCE_S) {
        return false;
    }
    $expected = base64_encode(hash_hmac('sha256', "$id.$sent_at.$body", $secret, true));
    // Several signatures while a secret is rotated; one of them is enough.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $part) {
        if (str_starts_with($part, 'v1,') && hash_equals($expected, substr($part, 3))) {
            return true;
        }
    }
    return false;
}

function answer(): int
{
    $secret = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET') ?: ''));
    if (strlen($secret) < 24 || PHP_INT_SIZE < 8) {
        throw new RuntimeException('WEBHOOK_SECRET must be the secret of the endpoint, whsec_…, and PHP must have 64 bits.');
    }
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return 405;
    }
    $body = file_get_contents('php://input', length: MAX_BODY_BYTES + 1);
    if (strlen($body) > MAX_BODY_BYTES) {
        return 413;
    }
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    if (!is_signed($secret, $id, $body)) {
        return 401;
    }
    if ($id === '') {
        return 400;
    }
    try {
        $event = CommerceEvents\parse_event($_SERVER['HTTP_COMMERCE_EVENT_TYPE'] ?? '', $body);
    } catch (JsonException | TypeError $error) {
        error_log("$id is refused: {$error->getMessage()}");
        return 400;
    }
    if ($event !== null) {
        work_once(open_database(), $id, $event);
    } // else a type that this program does not know
    return 204;
}

http_response_code(500); // the event comes again
http_response_code(answer());
