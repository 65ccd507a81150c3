// Receives events: verifies the signature over the raw bytes, and does the work of each event once.
// Run it: WEBHOOK_SECRET=whsec_… mvn -q compile exec:java
// PORT (9000), HOST (127.0.0.1) and DATABASE (events.db) may be set as well.

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Handler {
    private static final long TOLERANCE_S = 300;
    private static final int MAX_BODY_BYTES = 1024 * 1024;

    private final byte[] secret;
    private final Connection database;

    private Handler(byte[] secret, Connection database) {
        this.secret = secret;
        this.database = database;
    }

    // The work. The sender waits five seconds for the answer: what takes longer is put into a table and done later.
    private void work(Object event) throws SQLException {
        if (event instanceof Events.OrderConfirmedEvent found) {
            try (PreparedStatement add = database.prepareStatement("INSERT INTO work (order_id) VALUES (?)")) {
                add.setObject(1, found.OrderId());
                add.executeUpdate();
            }
        }
    }

    // The id and the work are one transaction. After a crash both are stored or neither is, and then the event comes again.
    private synchronized void workOnce(String id, Object event) throws SQLException {
        String insert = "INSERT INTO received_event VALUES (?, datetime('now')) ON CONFLICT DO NOTHING";
        execute("BEGIN IMMEDIATE"); // with autocommit off, the driver would keep the database locked between events
        try (PreparedStatement remember = database.prepareStatement(insert)) {
            remember.setString(1, id);
            if (remember.executeUpdate() == 1) work(event); // else a repeat
            execute("COMMIT");
        } catch (SQLException | RuntimeException error) {
            execute("ROLLBACK");
            throw error;
        }
    }

    private void execute(String sql) throws SQLException {
        try (Statement statement = database.createStatement()) {
            statement.execute(sql);
        }
    }

    private boolean isSigned(Headers headers, byte[] body) throws GeneralSecurityException {
        String sentAt = headers.getFirst("webhook-timestamp");
        if (sentAt == null || !sentAt.matches("\\d{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(sentAt)) > TOLERANCE_S) return false;
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret, "HmacSHA256"));
        mac.update((headers.getFirst("webhook-id") + "." + sentAt + ".").getBytes(StandardCharsets.UTF_8));
        byte[] expected = Base64.getEncoder().encode(mac.doFinal(body));
        String given = headers.getFirst("webhook-signature");
        // Several signatures while a secret is rotated; one of them is enough.
        for (String part : (given == null ? "" : given).split(" ")) {
            byte[] signature = part.substring(Math.min(3, part.length())).getBytes(StandardCharsets.UTF_8);
            if (part.startsWith("v1,") && MessageDigest.isEqual(expected, signature)) return true;
        }
        return false;
    }

    private int answer(HttpExchange exchange) throws IOException, GeneralSecurityException, SQLException {
        byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY_BYTES + 1);
        if (!exchange.getRequestMethod().equals("POST")) return 405;
        if (body.length > MAX_BODY_BYTES) return 413;
        Headers headers = exchange.getRequestHeaders();
        if (!isSigned(headers, body)) return 401;
        String id = headers.getFirst("webhook-id");
        String type = headers.getFirst("commerce-event-type");
        if (id == null || id.isEmpty()) return 400;
        Object event;
        try {
            event = Events.parse(type == null ? "" : type, body);
        } catch (IOException error) {
            System.err.println(id + " is refused: " + error.getMessage());
            return 400;
        }
        if (event != null) workOnce(id, event); // else a type that this program does not know
        return 204;
    }

    private void handle(HttpExchange exchange) throws IOException {
        int status = 500; // the event comes again
        try {
            status = answer(exchange);
        } catch (Exception error) {
            error.printStackTrace();
        }
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException, SQLException {
        Map<String, String> settings = System.getenv();
        byte[] secret = Base64.getDecoder().decode(settings.getOrDefault("WEBHOOK_SECRET", "").replaceFirst("^whsec_", ""));
        if (secret.length < 24) throw new IllegalStateException("WEBHOOK_SECRET must be the secret of the endpoint, whsec_…");
        String url = "jdbc:sqlite:" + settings.getOrDefault("DATABASE", "events.db");
        Handler handler = new Handler(secret, DriverManager.getConnection(url + "?busy_timeout=3000"));
        handler.execute("CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL)");
        handler.execute("CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL)"); // stands for your own tables
        System.setProperty("sun.net.httpserver.maxReqTime", "5"); // seconds: a slow sender does not hold a thread
        String host = settings.getOrDefault("HOST", "127.0.0.1");
        int port = Integer.parseInt(settings.getOrDefault("PORT", "9000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(host, port), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", handler::handle);
        server.start();
    }
}
