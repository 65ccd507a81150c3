// Receives events: verifies the signature over the raw bytes, and does the work of each event once.
// Run it: WEBHOOK_SECRET=whsec_… go run .
// PORT (9000), HOST (127.0.0.1) and DATABASE (events.db) may be set as well.
package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite"
)

const (
	tolerance    = 5 * time.Minute
	maxBodyBytes = 1 << 20
	tables       = `
		CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL);
		CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL); -- stands for your own tables`
)

// work does the work of an event. The sender waits five seconds for the answer: what takes longer is put into a table
// and done later.
func work(ctx context.Context, tx *sql.Tx, event any) error {
	switch event := event.(type) {
	case *OrderConfirmedEvent:
		_, err := tx.ExecContext(ctx, "INSERT INTO work (order_id) VALUES (?)", event.OrderId)
		return err
	}
	return nil
}

// workOnce stores the id and does the work in one transaction. After a crash both are stored or neither is, and then
// the event comes again.
func workOnce(ctx context.Context, database *sql.DB, id string, event any) error {
	tx, err := database.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stored, err := tx.ExecContext(ctx, "INSERT INTO received_event VALUES (?, datetime('now')) ON CONFLICT DO NOTHING", id)
	if err != nil {
		return err
	}
	if count, err := stored.RowsAffected(); err != nil || count == 0 { // a repeat
		return err
	}
	if err := work(ctx, tx, event); err != nil {
		return err
	}
	return tx.Commit()
}

func isSigned(secret []byte, header http.Header, body []byte) bool {
	sentAt, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(sentAt, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", header.Get("webhook-id"), header.Get("webhook-timestamp"))
	mac.Write(body)
	expected := mac.Sum(nil)
	// Several signatures while a secret is rotated; one of them is enough.
	for _, part := range strings.Fields(header.Get("webhook-signature")) {
		signature, isHmac := strings.CutPrefix(part, "v1,")
		given, err := base64.StdEncoding.DecodeString(signature)
		if isHmac && err == nil && hmac.Equal(given, expected) {
			return true
		}
	}
	return false
}

func handler(secret []byte, database *sql.DB) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxBodyBytes))
		if err != nil {
			response.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if request.Method != http.MethodPost {
			response.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if !isSigned(secret, request.Header, body) {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		id := request.Header.Get("webhook-id")
		event, err := Parse(request.Header.Get("commerce-event-type"), body)
		if err != nil || id == "" {
			log.Printf("%q is refused: %v", id, err)
			response.WriteHeader(http.StatusBadRequest)
			return
		}
		if event != nil { // else a type that this program does not know
			ctx, cancel := context.WithTimeout(request.Context(), 4*time.Second)
			defer cancel()
			if err := workOnce(ctx, database, id, event); err != nil {
				log.Printf("%q failed and comes again: %v", id, err)
				response.WriteHeader(http.StatusInternalServerError)
				return
			}
		}
		response.WriteHeader(http.StatusNoContent)
	}
}

func main() {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil || len(secret) < 24 {
		log.Fatal("WEBHOOK_SECRET must be the secret of the endpoint, whsec_…")
	}
	path := cmp.Or(os.Getenv("DATABASE"), "events.db")
	database, err := sql.Open("sqlite", path+"?_txlock=immediate&_pragma=busy_timeout(3000)")
	if err != nil {
		log.Fatal(err)
	}
	database.SetMaxOpenConns(1) // SQLite has one writer
	if _, err := database.Exec(tables); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr:         net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), cmp.Or(os.Getenv("PORT"), "9000")),
		Handler:      handler(secret, database),
		ReadTimeout:  5 * time.Second, // a slow sender does not hold a connection
		WriteTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
