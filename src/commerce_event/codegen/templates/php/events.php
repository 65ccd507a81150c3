<?php

// The event types. This file is generated: `commerce-event types --language php --models-only` writes it again.
// What may be absent may be null. Properties and values that are not listed here may come; ignore what you do not know.

namespace CommerceEvents;

// @@CLASSES@@
/**
 * Return the event of a body, or null for a type that is not listed here.
 *
 * @throws \JsonException|\TypeError for a body that is not JSON or does not fit the type
 */
function parse_event(string $type, string $body): ?object
{
    // An integer of 64 bits is an int. With JSON_BIGINT_AS_STRING, a larger one would be a string instead of a float.
    $data = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    if (!is_array($data) || !str_starts_with(ltrim($body), '{')) {
        throw new \JsonException('The body is not a JSON object.');
    }
    return match ($type) {
// @@CASES@@
        default => null,
    };
}
