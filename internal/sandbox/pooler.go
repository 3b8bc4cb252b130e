package sandbox

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Pooler lends its clients a session of the server for each transaction, the one that was used last first, as a
// connection pooler in transaction mode does.
type Pooler struct {
	t      testing.TB
	server string

	mu   sync.Mutex
	idle []*pgconn.HijackedConn
	lent int // sessions that were ever opened
}

// StartPooler returns a pooler before the server, which ends with the test, and its port on 127.0.0.1.
func StartPooler(t testing.TB, server string) (p *Pooler, port int) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &Pooler{t: t, server: server}
	var served sync.WaitGroup
	var clients []net.Conn
	var mu sync.Mutex
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			clients = append(clients, c)
			mu.Unlock()
			served.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range clients {
			_ = c.Close()
		}
		mu.Unlock()
		served.Wait()
		for _, s := range p.idle {
			_ = s.Conn.Close()
		}
	})
	return p, l.Addr().(*net.TCPAddr).Port
}

// Lent is how many sessions it ever opened.
func (p *Pooler) Lent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lent
}

func (p *Pooler) borrow() (*pgconn.HijackedConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return s, nil
	}
	conn, err := pgconn.Connect(context.Background(), p.server)
	if err != nil {
		return nil, err
	}
	p.lent++
	return conn.Hijack()
}

func (p *Pooler) giveBack(s *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

func (p *Pooler) serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // the test is over
	client := pgproto3.NewBackend(c, c)
	if err := p.greet(client, c); err != nil {
		p.t.Logf("pooler: %v", err)
		return
	}
	var session *pgconn.HijackedConn
	defer func() {
		if session != nil {
			_ = session.Conn.Close()
		}
	}()
	for {
		msg, err := client.Receive()
		if err != nil {
			return
		}
		if _, ends := msg.(*pgproto3.Terminate); ends {
			return
		}
		if session == nil {
			if session, err = p.borrow(); err != nil {
				p.t.Errorf("pooler: %v", err)
				return
			}
		}
		session.Frontend.Send(msg)
		switch msg.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
		default:
			continue // the rest of the request follows
		}
		status, err := answer(session.Frontend, client)
		if err != nil {
			return
		}
		if status == 'I' {
			p.giveBack(session)
			session = nil
		}
	}
}

// accepted are the start-up parameters that PgBouncer takes unless it is told to ignore others.
func accepted(parameter string) bool {
	return slices.Contains([]string{
		"user", "database", "application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings",
	}, parameter)
}

// greet lets anybody in who asks for nothing that a pooler refuses.
func (p *Pooler) greet(client *pgproto3.Backend, c net.Conn) error {
	for {
		msg, err := client.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		if startup, ok := msg.(*pgproto3.StartupMessage); ok {
			for name := range startup.Parameters {
				if !accepted(name) {
					client.Send(&pgproto3.ErrorResponse{
						Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: " + name,
					})
					return client.Flush()
				}
			}
			break
		}
		if _, err := c.Write([]byte("N")); err != nil { // no TLS
			return err
		}
	}
	s, err := p.borrow()
	if err != nil {
		return err
	}
	parameters := maps.Clone(s.ParameterStatuses)
	p.giveBack(s)
	client.Send(&pgproto3.AuthenticationOk{})
	for name, value := range parameters {
		client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return client.Flush()
}

// answer hands on what the server says until it is ready again.
func answer(server *pgproto3.Frontend, client *pgproto3.Backend) (status byte, err error) {
	if err := server.Flush(); err != nil {
		return 0, err
	}
	for {
		msg, err := server.Receive()
		if err != nil {
			return 0, err
		}
		client.Send(msg)
		if ready, ok := msg.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, client.Flush()
		}
	}
}
