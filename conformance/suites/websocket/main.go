// Command websocket sends messages to a server that sends them back, compares each one, and closes as RFC 6455 has it.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"
)

func main() {
	url := flag.String("url", "", "where the server is")
	authority := flag.String("ca", "", "file with the CA to trust")
	count := flag.Int("messages", 1000, "how many messages")
	compressed := flag.Bool("compressed", false, "offer permessage-deflate")
	flag.Parse()
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, *url, *authority, *count, *compressed); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, authority string, count int, compressed bool) error {
	client, err := trusting(authority)
	if err != nil {
		return err
	}
	options := &websocket.DialOptions{HTTPClient: client, CompressionMode: websocket.CompressionDisabled}
	if compressed {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	connection, response, err := websocket.Dial(ctx, url, options)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer connection.CloseNow()
	connection.SetReadLimit(1 << 20)
	for number := range count {
		if err := exchange(ctx, connection, number); err != nil {
			return fmt.Errorf("message %d: %w", number, err)
		}
	}
	ping := make(chan error, 1)
	go func() { ping <- connection.Ping(ctx) }()
	// A pong is only seen while somebody reads.
	reading := connection.CloseRead(ctx)
	if err := <-ping; err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if err := connection.Close(websocket.StatusNormalClosure, "done"); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	<-reading.Done()
	fmt.Printf("%d messages and a ping came back, extensions %q\n", count, response.Header.Get("Sec-WebSocket-Extensions"))
	return nil
}

// Text and binary by turns, from nothing to some 60 KiB.
func exchange(ctx context.Context, connection *websocket.Conn, number int) error {
	kind := websocket.MessageText
	if number%2 == 1 {
		kind = websocket.MessageBinary
	}
	length := number * number % 61_000
	message := bytes.Repeat(fmt.Appendf(nil, "%d,", number), length/len(fmt.Sprint(number))+1)[:length]
	if err := connection.Write(ctx, kind, message); err != nil {
		return err
	}
	came, answer, err := connection.Read(ctx)
	if err != nil {
		return err
	}
	if came != kind || !bytes.Equal(answer, message) {
		return fmt.Errorf("sent %d bytes, another message of %d bytes came back", len(message), len(answer))
	}
	return nil
}

func trusting(file string) (*http.Client, error) {
	roots := x509.NewCertPool()
	if file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
	}
	// Setting TLSClientConfig keeps HTTP/2 off: the upgrade is HTTP/1.1's.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Transport: transport}, nil
}
