// Command backend is the HTTP server behind the gateway: HTTP/1.1 and HTTP/2 with prior knowledge on one port, by net/http.
//
// It prints the address that it took on one line and serves until it is killed.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"time"

	"github.com/coder/websocket"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "where to listen")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(serve), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

// The last segment of the path says what to do, so that a route may put any prefix before it.
func serve(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "file":
		w.Header().Set("ETag", `"file-1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "file", modified, bytes.NewReader(file))
	case "digest":
		digest := sha256.New()
		length, err := io.Copy(digest, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %d %s\n", r.Proto, length, hex.EncodeToString(digest.Sum(nil)))
	case "later":
		// Frames that follow a request find its stream open.
		select {
		case <-time.After(50 * time.Millisecond):
			fmt.Fprintln(w, "later")
		case <-r.Context().Done():
		}
	case "echo":
		echo(w, r)
	case "trailers":
		w.Header().Set("Trailer", "X-Length")
		body, _ := io.ReadAll(r.Body)
		length, _ := w.Write(body)
		// What has gone out cannot get a Content-Length any more.
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Length", fmt.Sprint(length))
	case "pieces":
		pieces(w)
	case "refuse":
		// The body is not read, so no 100 is sent. (After a 417, curl would ask again.)
		w.WriteHeader(http.StatusForbidden)
	case "nothing":
		w.WriteHeader(http.StatusNoContent)
	case "websocket":
		mirror(w, r)
	default:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s %s\n", r.Proto, r.Method, r.URL.RequestURI())
	}
}

// Sends back what comes while it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// HTTP/2 needs no leave for it.
	_ = control.EnableFullDuplex()
	block := make([]byte, 32*1024)
	for {
		length, err := r.Body.Read(block)
		if _, err := w.Write(block[:length]); err != nil {
			return
		}
		if err != nil {
			return
		}
		_ = control.Flush()
	}
}

func pieces(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	for number := range 10 {
		fmt.Fprintf(w, "piece %d\n", number)
		_ = control.Flush()
	}
}

// Sends back every message until the client closes.
func mirror(w http.ResponseWriter, r *http.Request) {
	connection, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer connection.CloseNow()
	connection.SetReadLimit(1 << 20)
	for {
		kind, message, err := connection.Read(r.Context())
		if err != nil {
			return
		}
		if err := connection.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

var (
	modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file     = content()
)

// 4 MiB in which every aligned word differs from the others.
func content() []byte {
	var text bytes.Buffer
	for number := 0; text.Len() < 4<<20; number++ {
		fmt.Fprintf(&text, "%07d\n", number)
	}
	return text.Bytes()
}
