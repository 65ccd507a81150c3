// Receives events: verifies the signature over the raw bytes, and does the work of each event once.
// Run it: WEBHOOK_SECRET=whsec_… dotnet run
// PORT (9000), HOST (127.0.0.1) and DATABASE (events.db) may be set as well.
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Data.Sqlite;

const int ToleranceS = 300;
const int MaxBodyBytes = 1024 * 1024;

string Setting(string name, string standard) => Environment.GetEnvironmentVariable(name) ?? standard;

var text = Setting("WEBHOOK_SECRET", "");
var secret = Convert.FromBase64String(text.StartsWith("whsec_") ? text[6..] : text);
if (secret.Length < 24) throw new InvalidOperationException("WEBHOOK_SECRET must be the secret of the endpoint, whsec_…");

// DefaultTimeout, in seconds, is how long a transaction waits for another one.
var source = new SqliteConnectionStringBuilder { DataSource = Setting("DATABASE", "events.db"), DefaultTimeout = 3 };
using (var database = OpenDatabase())
{
    Execute(database, null, "CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL)");
    Execute(database, null, "CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL)"); // stands for your own tables
}

SqliteConnection OpenDatabase()
{
    var database = new SqliteConnection(source.ToString());
    database.Open();
    return database;
}

int Execute(SqliteConnection database, SqliteTransaction? transaction, string sql, object? value = null)
{
    using var command = database.CreateCommand();
    command.Transaction = transaction;
    command.CommandText = sql;
    if (value != null) command.Parameters.AddWithValue("$value", value);
    return command.ExecuteNonQuery();
}

// The work. The sender waits five seconds for the answer: what takes longer is put into a table and done later.
void Work(SqliteConnection database, SqliteTransaction transaction, object received)
{
    switch (received)
    {
        case CommerceEvents.OrderConfirmedEvent found:
            Execute(database, transaction, "INSERT INTO work (order_id) VALUES ($value)", found.OrderId);
            break;
    }
}

// The id and the work are one transaction. After a crash both are stored or neither is, and then the event comes again.
void WorkOnce(string id, object received)
{
    using var database = OpenDatabase();
    using var transaction = database.BeginTransaction(deferred: false); // an exception rolls back
    const string remember = "INSERT INTO received_event VALUES ($value, datetime('now')) ON CONFLICT DO NOTHING";
    if (Execute(database, transaction, remember, id) == 1) Work(database, transaction, received); // else a repeat
    transaction.Commit();
}

bool IsSigned(IHeaderDictionary headers, byte[] body)
{
    var sentAt = headers["webhook-timestamp"].ToString();
    if (!long.TryParse(sentAt, out var seconds)) return false;
    if (Math.Abs((decimal)DateTimeOffset.UtcNow.ToUnixTimeSeconds() - seconds) > ToleranceS) return false;
    var start = Encoding.UTF8.GetBytes($"{headers["webhook-id"]}.{sentAt}.");
    var expected = HMACSHA256.HashData(secret, start.Concat(body).ToArray());
    // Several signatures while a secret is rotated; one of them is enough.
    foreach (var part in headers["webhook-signature"].ToString().Split(' '))
    {
        if (!part.StartsWith("v1,")) continue;
        var given = new byte[expected.Length];
        if (!Convert.TryFromBase64String(part[3..], given, out var length) || length != given.Length) continue;
        if (CryptographicOperations.FixedTimeEquals(given, expected)) return true;
    }
    return false;
}

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = MaxBodyBytes); // 413 beyond
var app = builder.Build();
app.MapPost("/{**path}", async (HttpRequest request) =>
{
    using var memory = new MemoryStream();
    await request.Body.CopyToAsync(memory);
    var body = memory.ToArray();
    if (!IsSigned(request.Headers, body)) return Results.StatusCode(401);
    var id = request.Headers["webhook-id"].ToString();
    if (id == "") return Results.StatusCode(400);
    object? received;
    try
    {
        received = CommerceEvents.Events.Parse(request.Headers["commerce-event-type"].ToString(), body);
    }
    catch (JsonException error)
    {
        app.Logger.LogWarning("{Id} is refused: {Error}", id, error.Message);
        return Results.StatusCode(400);
    }
    if (received != null) WorkOnce(id, received); // else a type that this program does not know; an exception is a 500
    return Results.StatusCode(204);
});
app.Run($"http://{Setting("HOST", "127.0.0.1")}:{Setting("PORT", "9000")}");
