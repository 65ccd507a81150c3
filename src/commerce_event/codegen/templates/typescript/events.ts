// The event types. This file is generated: `commerce-event types --language typescript --models-only` writes it again.
// Properties of 64 bits are bigint: number is exact only up to 2^53. JSON.stringify needs a replacer for them.
// Properties and values that are not listed here may come; ignore what you do not know.

// @@INTERFACES@@
/** An event of a known type. */
export type KnownEvent =
// @@UNION@@
  ;

const INT64 = new Map<string, readonly string[]>([
// @@INT64@@
]);

// Strings, then numbers: what looks like a number inside a string is part of the string.
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const LONG_INTEGER = /^(-?[1-9]\d{15,})(?:\.0+)?$/;
const MARK = `${crypto.randomUUID()}:`; // no sender can know it

/** Read JSON; integers that number cannot hold exactly become bigint, also inside objects and arrays. */
export function readJson(text: string): unknown {
  const marked = text.replace(TOKENS, (token) => {
    const long = LONG_INTEGER.exec(token);
    return long === null ? token : `"${MARK}${long[1]}"`;
  });
  return JSON.parse(marked, (_, value: unknown) => {
    if (typeof value !== "string" || !value.startsWith(MARK)) return value;
    const integer = BigInt(value.slice(MARK.length));
    return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
  });
}

/** Return the event of a body, or null for a type that is not listed here. Throws SyntaxError. */
export function parseEvent(type: string, text: string): KnownEvent | null {
  const data = readJson(text);
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw new SyntaxError("not a JSON object");
  const int64 = INT64.get(type);
  if (int64 === undefined) return null;
  const properties = data as Record<string, unknown>;
  for (const name of int64) {
    const value = properties[name];
    if (typeof value !== "number") continue;
    if (!Number.isSafeInteger(value)) throw new SyntaxError(`${name} is not an exact integer`);
    properties[name] = BigInt(value);
  }
  return { type, data: properties } as unknown as KnownEvent;
}
