<?php
// Receives events: verifies the signature, processes each event once, answers at once.
$secret = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$sentAt = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';

$expected = base64_encode(hash_hmac('sha256', "$id.$sentAt.$body", $secret, true));
$signed = false;
if (ctype_digit($sentAt) && abs(time() - (int) $sentAt) <= 300) {
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $part) {
        $signed = $signed || (str_starts_with($part, 'v1,') && hash_equals($expected, substr($part, 3)));
    }
}
if (!$signed) {
    http_response_code(401);
    exit;
}

// In production: store ids in your database, in the transaction that does the work. Here a file stands in for it.
$mark = sys_get_temp_dir() . '/received-' . hash('sha256', $id);
$handle = @fopen($mark, 'x');
if ($handle !== false) {
    fclose($handle);
    error_log("received $id " . ($_SERVER['HTTP_COMMERCE_EVENT_TYPE'] ?? ''));
}
http_response_code(204);
