// The event types. This file is generated: `commerce-event types --language java --models-only` writes it again.
// What may be absent may be null. Properties and values that are not listed here may come; ignore what you do not know.

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;

public final class Events {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private Events() {}

// @@RECORDS@@
    /** Return the event of a body as one of the records, or null for a type that is not listed here. */
    public static Object parse(String type, byte[] body) throws IOException {
        Class<?> record = classOf(type);
        if (record == null) return null;
        JsonNode data = MAPPER.readTree(body);
        if (!data.isObject()) throw new IOException("the body is not a JSON object");
        return MAPPER.treeToValue(data, record);
    }

    private static Class<?> classOf(String type) {
        return switch (type) {
// @@CASES@@
            default -> null;
        };
    }
}
