// The event types. This file is generated: `commerce-event types --language csharp --models-only` writes it again.
// What may be absent may be null. Properties and values that are not listed here may come; ignore what you do not know.
#nullable enable
using System.Text.Json;
using System.Text.Json.Serialization;

namespace CommerceEvents;

// @@CLASSES@@
public static class Events
{
    private static readonly JsonSerializerOptions Options = new() { Converters = { new Int32Converter(), new Int64Converter() } };

    /// <summary>Return the event of a body, or null for a type that is not listed here.</summary>
    /// <exception cref="JsonException">The body is not JSON, or does not fit the type.</exception>
    public static object? Parse(string type, byte[] body) => type switch
    {
// @@CASES@@
        _ => null,
    };

    private static T Read<T>(byte[] body) =>
        JsonSerializer.Deserialize<T>(body, Options) ?? throw new JsonException("the body is null");

    // 1e3 and 5.0 are integers in JSON Schema. decimal holds every integer of 64 bits exactly.
    private static decimal ReadInteger(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetDecimal(out var number) && decimal.Truncate(number) == number)
        {
            return number;
        }
        throw new JsonException("an integer is expected");
    }

    private sealed class Int32Converter : JsonConverter<int>
    {
        public override int Read(ref Utf8JsonReader reader, System.Type type, JsonSerializerOptions options)
        {
            var number = ReadInteger(ref reader);
            return number is >= int.MinValue and <= int.MaxValue ? (int)number : throw new JsonException("too large for int");
        }

        public override void Write(Utf8JsonWriter writer, int value, JsonSerializerOptions options) => writer.WriteNumberValue(value);
    }

    private sealed class Int64Converter : JsonConverter<long>
    {
        public override long Read(ref Utf8JsonReader reader, System.Type type, JsonSerializerOptions options)
        {
            var number = ReadInteger(ref reader);
            return number is >= long.MinValue and <= long.MaxValue ? (long)number : throw new JsonException("too large for long");
        }

        public override void Write(Utf8JsonWriter writer, long value, JsonSerializerOptions options) => writer.WriteNumberValue(value);
    }
}
