package pipeline

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// commitKiller passes the frontend protocol of PostgreSQL on and keeps back the answer to a commit after which more than
// that many media have no row: that commit went well, and whoever asked for it never learns.
type commitKiller struct {
	k    *killing
	rows int

	arrived chan struct{}
	once    sync.Once
}

func (c *commitKiller) listen(t *testing.T) (port int) {
	t.Helper()
	c.arrived = make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.serve(t, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// wait waits until the answer to the commit has arrived.
func (c *commitKiller) wait(t *testing.T) {
	t.Helper()
	until(t, "the answer to the commit arrives", func() bool {
		select {
		case <-c.arrived:
			return true
		default:
			return false
		}
	})
}

func (c *commitKiller) serve(t *testing.T, client net.Conn) {
	server, err := net.Dial("tcp", net.JoinHostPort(c.k.s.PGHost(), strconv.Itoa(c.k.s.PGPort())))
	if err != nil {
		t.Error(err)
		return
	}
	var waits atomic.Bool // for the answer to a commit
	var back sync.WaitGroup
	back.Go(func() {
		c.answer(t, server, client, &waits)
		_ = client.Close()
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if bytes.Contains(buffer[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
			waits.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = server.Close()
	back.Wait()
}

// answer passes on what the server says, up to the answer that is to be kept back.
func (c *commitKiller) answer(t *testing.T, server io.Reader, client io.Writer, waits *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if waits.Swap(false) && len(c.k.rowless(t)) > c.rows {
			c.once.Do(func() { close(c.arrived) })
			_, _ = io.Copy(io.Discard, server) // until the one who is killed lets go of it
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
