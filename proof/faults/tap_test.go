package faults_test

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"synupkeep/internal/sandbox"
)

// tap passes what a run says to PostgreSQL on, and lets a test fall silent: a connection stays open then, and nothing
// passes through it any more, in neither direction, not even its end. That is what a firewall does that forgets a
// connection, or a server that was cut from the power.
type tap struct {
	to string
	// hear is told what the clients send, each before it is passed on.
	hear func(c *tapped, sent []byte)

	mu   sync.Mutex
	open []net.Conn
}

// tapped is one connection.
type tapped struct{ silent *atomic.Bool }

func newTap(t *testing.T, s *sandbox.Server, hear func(c *tapped, sent []byte)) (port int) {
	t.Helper()
	p := &tap{to: net.JoinHostPort(s.PGHost(), strconv.Itoa(s.PGPort())), hear: hear}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		serving.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func (p *tap) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	c := &tapped{silent: &atomic.Bool{}}
	var back sync.WaitGroup
	back.Go(func() { c.pass(server, client, func([]byte) {}) })
	c.pass(client, server, func(sent []byte) { p.hear(c, sent) })
	back.Wait()
}

// pass copies until one side ends.
func (c *tapped) pass(from, to net.Conn, hear func([]byte)) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			hear(buffer[:n])
		}
		if n > 0 && !c.silent.Load() {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil && c.silent.Load() {
			return // the other end hears nothing of it
		}
		if err != nil {
			break
		}
	}
	_ = from.Close()
	_ = to.Close()
}
