// Receives events: verifies the signature, processes each event once, answers at once.
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Handler {
    static final byte[] SECRET = Base64.getDecoder().decode(System.getenv("WEBHOOK_SECRET").replaceFirst("^whsec_", ""));
    // in production: store ids in the transaction that does the work
    static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

    static boolean isSigned(Headers headers, byte[] body) throws Exception {
        String sentAt = headers.getFirst("webhook-timestamp");
        if (sentAt == null || !sentAt.matches("\\d{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(sentAt)) > 300) return false;
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        content.write((headers.getFirst("webhook-id") + "." + sentAt + ".").getBytes("UTF-8"));
        content.write(body);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(SECRET, "HmacSHA256"));
        byte[] expected = Base64.getEncoder().encode(mac.doFinal(content.toByteArray()));
        String given = headers.getFirst("webhook-signature");
        for (String part : (given == null ? "" : given).split(" ")) {
            if (part.startsWith("v1,") && MessageDigest.isEqual(expected, part.substring(3).getBytes("UTF-8"))) return true;
        }
        return false;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "9000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            int status = 500;
            try {
                byte[] body = exchange.getRequestBody().readAllBytes();
                Headers headers = exchange.getRequestHeaders();
                status = isSigned(headers, body) ? 204 : 401;
                String id = headers.getFirst("webhook-id");
                if (status == 204 && SEEN.add(id)) {
                    System.out.println("received " + id + " " + headers.getFirst("commerce-event-type"));
                }
            } catch (Exception error) {
                error.printStackTrace();
            }
            exchange.sendResponseHeaders(status, -1);
            exchange.close();
        });
        server.start();
    }
}
