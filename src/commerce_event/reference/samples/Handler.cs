// Receives events: verifies the signature, processes each event once, answers at once.
// A web project: dotnet new web, then this file as Program.cs.
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

var text = Environment.GetEnvironmentVariable("WEBHOOK_SECRET")!;
var secret = Convert.FromBase64String(text.StartsWith("whsec_") ? text[6..] : text);
var port = Environment.GetEnvironmentVariable("PORT") ?? "9000";
var seen = new ConcurrentDictionary<string, bool>(); // in production: store ids in the transaction that does the work

bool IsSigned(IHeaderDictionary headers, byte[] body)
{
    var sentAt = headers["webhook-timestamp"].ToString();
    if (!long.TryParse(sentAt, out var seconds)) return false;
    if (Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - seconds) > 300) return false;
    var start = Encoding.UTF8.GetBytes($"{headers["webhook-id"]}.{sentAt}.");
    var expected = HMACSHA256.HashData(secret, start.Concat(body).ToArray());
    foreach (var part in headers["webhook-signature"].ToString().Split(' '))
    {
        if (!part.StartsWith("v1,")) continue;
        var given = new byte[expected.Length];
        if (!Convert.TryFromBase64String(part[3..], given, out var length) || length != given.Length) continue;
        if (CryptographicOperations.FixedTimeEquals(given, expected)) return true;
    }
    return false;
}

var app = WebApplication.CreateBuilder(args).Build();
app.MapPost("/{**path}", async (HttpRequest request) =>
{
    using var memory = new MemoryStream();
    await request.Body.CopyToAsync(memory);
    if (!IsSigned(request.Headers, memory.ToArray())) return Results.Unauthorized();
    var id = request.Headers["webhook-id"].ToString();
    if (seen.TryAdd(id, true)) Console.WriteLine($"received {id} {request.Headers["commerce-event-type"]}");
    return Results.NoContent();
});
app.Run($"http://127.0.0.1:{port}");
