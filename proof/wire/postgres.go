// Package wire stands between a run and its servers and tells a test, word for word and in order, what is said: so that a
// run can be killed before a word is heard, or before its answer is.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
)

// Word is what one side of a connection to PostgreSQL says.
type Word struct {
	Conn   int64 // which connection
	Answer bool  // the server says it
	// Text is the SQL of a statement that is to be executed, or the tag of a command that is complete, such as COMMIT.
	Text string
	At   time.Time
}

// Postgres passes on what is said to the sandbox's PostgreSQL. It reads version 3 of the protocol, without TLS.
type Postgres struct {
	Port int

	ctx      context.Context // the test's
	server   string          // its address
	listener net.Listener
	hear     func(Word) bool
	open     sync.WaitGroup
	last     int64
}

// ToPostgres listens until the test ends. hear is called for each word before it is passed on, by several goroutines; with
// false the word is not passed on and its connection ends.
func ToPostgres(t testing.TB, s *sandbox.Server, hear func(Word) bool) *Postgres {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{ctx: t.Context(), server: net.JoinHostPort(s.PGHost(), strconv.Itoa(s.PGPort())), listener: listener, hear: hear}
	if at, ok := listener.Addr().(*net.TCPAddr); ok {
		p.Port = at.Port
	}
	p.open.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.open.Wait()
	})
	return p
}

func (p *Postgres) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.last++
		c := &conn{id: p.last, client: client, hear: p.hear, sql: map[string]string{}}
		if c.server, err = (&net.Dialer{}).DialContext(p.ctx, "tcp", p.server); err != nil {
			_ = client.Close() // as a server that is down would
			continue
		}
		p.open.Go(func() { c.pass(c.clientSays) })
		p.open.Go(func() { c.pass(c.serverSays) })
	}
}

// conn is one connection.
type conn struct {
	id             int64
	client, server net.Conn
	hear           func(Word) bool
	sql            map[string]string // by the name of the prepared statement; the client's side alone uses it
}

// pass ends both sides when one of them does.
func (c *conn) pass(side func() error) {
	_ = side() // ends with the connection
	_ = c.client.Close()
	_ = c.server.Close()
}

var errSilenced = errors.New("the word is not passed on")

const (
	sslRequest    = 80877103
	gssEncRequest = 80877104
	longest       = 1 << 26
)

func (c *conn) clientSays() error {
	in := bufio.NewReaderSize(c.client, 1<<16)
	for { // requests before the start, then the start, have no type
		head := make([]byte, 8)
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		n, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if n < 8 || n > longest {
			return io.ErrUnexpectedEOF
		}
		if code == sslRequest || code == gssEncRequest {
			if _, err := c.client.Write([]byte{'N'}); err != nil { // there is none
				return err
			}
			continue
		}
		if _, err := c.server.Write(head); err != nil {
			return err
		}
		if _, err := io.CopyN(c.server, in, int64(n)-8); err != nil {
			return err
		}
		break
	}
	return frames(in, c.server, func(kind byte, body []byte) bool {
		switch kind {
		case 'Q':
			return c.hear(Word{Conn: c.id, Text: text(body), At: time.Now()})
		case 'P':
			name, rest, _ := bytes.Cut(body, []byte{0})
			c.sql[string(name)] = text(rest)
		case 'B':
			_, rest, _ := bytes.Cut(body, []byte{0})
			return c.hear(Word{Conn: c.id, Text: c.sql[text(rest)], At: time.Now()})
		}
		return true
	})
}

func (c *conn) serverSays() error {
	return frames(bufio.NewReaderSize(c.server, 1<<16), c.client, func(kind byte, body []byte) bool {
		return kind != 'C' || c.hear(Word{Conn: c.id, Answer: true, Text: text(body), At: time.Now()})
	})
}

// text is what stands before the first NUL.
func text(body []byte) string {
	before, _, _ := bytes.Cut(body, []byte{0})
	return string(before)
}

// frames passes messages on, one after the other, while each may be.
func frames(in *bufio.Reader, out io.Writer, may func(kind byte, body []byte) bool) error {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n < 4 || n > longest {
			return io.ErrUnexpectedEOF
		}
		message := append(head, make([]byte, n-4)...)
		if _, err := io.ReadFull(in, message[5:]); err != nil {
			return err
		}
		if !may(head[0], message[5:]) {
			return errSilenced
		}
		if _, err := out.Write(message); err != nil {
			return err
		}
	}
}
