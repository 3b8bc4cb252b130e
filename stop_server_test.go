package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

// TestSignalsEndTheProcess sends real ones to a process of its own while the server works on a purge.
func TestSignalsEndTheProcess(t *testing.T) {
	for _, test := range []struct {
		name  string
		first os.Signal
		twice bool
		code  int
		done  int64
	}{
		{"SIGTERM, and the purge ends in time", syscall.SIGTERM, false, 143, 1},
		{"SIGINT, and the purge ends in time", syscall.SIGINT, false, 130, 1},
		{"SIGTERM twice", syscall.SIGTERM, true, 143, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			const rooms = 3
			s := sandbox.Shared(t)
			ids := oldRooms(t, s, rooms)
			letGo := holdEvents(t, s, ids)
			report := filepath.Join(t.TempDir(), "report.json")
			args := []string{"run", "-d", "30d", "--only", "history", "--purge-concurrency", "1", "--report", report, "--json"}
			for _, id := range ids {
				args = append(args, "--room", id)
			}
			c := startChild(t, s, args...)
			purges := func() int { return purgesUnderWay(t, s, ids) }
			for purges() == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond) // the answer to the request is on its way
			c.signal(t, test.first)
			c.says(t, "no new work is begun")
			if test.twice {
				c.signal(t, test.first)
			} else {
				letGo()
			}
			code := c.wait(t)
			letGo()
			var told, written sinks.Summary
			text, err := os.ReadFile(report)
			if err := errors.Join(err, json.Unmarshal(text, &written), json.Unmarshal(c.stdout.Bytes(), &told)); err != nil {
				t.Fatalf("%v\n%s\n%s", err, c.stdout.String(), c.log)
			}
			h := written.Flows[0]
			if code != test.code || written.ExitCode != code || told.ExitCode != code {
				t.Errorf("exit code %d, the report says %d, stdout %d, want %d\n%s", code, written.ExitCode, told.ExitCode, test.code, c.log)
			}
			if h.Examined != rooms || h.Done != test.done || h.LeftTotal != rooms-test.done || h.Failed != 0 {
				t.Errorf("%+v", h)
			}
			if named := int64(len(written.LeftPurges)); named != 1-test.done || named == 1 && !slices.Contains(ids, written.LeftPurges[0].RoomID) {
				t.Errorf("purges left: %+v", written.LeftPurges)
			}
			// The next run does the rest.
			o := onServer{s: s, env: map[string]string{"SYNUPKEEP_POSTGRES": s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": s.AdminToken()}}
			args[slices.Index(args, report)] = filepath.Join(t.TempDir(), "next.json")
			code, stdout, log := o.run(append(args, "-a", s.APIURL())...)
			if code != 0 {
				t.Errorf("the next run: exit code %d\n%s\n%s", code, stdout, log)
			}
			for _, id := range ids {
				if n := purgesOf(t, s, id); n != 1 {
					t.Errorf("%s was purged %d times", id, n)
				}
			}
		})
	}
}

// childProcess is the program in a process of its own.
type childProcess struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	lines  chan string
	log    string
}

func startChild(t *testing.T, s *sandbox.Server, args ...string) *childProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &childProcess{cmd: exec.CommandContext(t.Context(), self, args...), lines: make(chan string, 1000)}
	c.cmd.Args[0] = "synupkeep" // which makes the test's binary the program
	c.cmd.Env = append(os.Environ(), "SYNUPKEEP_POSTGRES="+s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN="+s.AdminToken(),
		"SYNUPKEEP_SYNAPSE_API_URL="+s.APIURL())
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			c.lines <- scanner.Text()
		}
	}()
	return c
}

func (c *childProcess) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// says waits for a line of the log.
func (c *childProcess) says(t *testing.T, text string) {
	t.Helper()
	for line := range c.lines {
		c.log += line + "\n"
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("it never says %q\n%s", text, c.log)
}

func (c *childProcess) wait(t *testing.T) (code int) {
	t.Helper()
	for line := range c.lines {
		c.log += line + "\n"
	}
	err := c.cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// oldRooms makes rooms with old messages.
func oldRooms(t *testing.T, s *sandbox.Server, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id, err := s.As("alice").CreateRoom(t.Context(), sandbox.RoomOptions{Name: fmt.Sprint("room ", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		for _, id := range ids {
			if err := p.AgeRoom(ctx, id, 60*24*time.Hour); err != nil {
				return err
			}
			for _, age := range []time.Duration{60 * 24 * time.Hour, time.Hour} {
				if _, err := p.BulkMessages(ctx, id, 20, time.Now().Add(-age), time.Second); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// holdEvents keeps purges of these rooms from coming to their end until the test lets go.
func holdEvents(t *testing.T, s *sandbox.Server, rooms []string) (letGo func()) {
	t.Helper()
	conn, err := s.DB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `SELECT 1 FROM events WHERE room_id = ANY($1) ORDER BY event_id FOR UPDATE`, rooms)
	}
	if err != nil {
		t.Fatal(err)
	}
	letGo = func() { _ = conn.Close(context.Background()) } // and the transaction with it
	t.Cleanup(letGo)
	return letGo
}

func purgesUnderWay(t *testing.T, s *sandbox.Server, rooms []string) (n int) {
	t.Helper()
	ask(t, s, &n, `SELECT count(*) FROM scheduled_tasks WHERE action = 'purge_history' AND status = 'active' AND resource_id = ANY($1)`, rooms)
	return n
}

func purgesOf(t *testing.T, s *sandbox.Server, room string) (n int) {
	t.Helper()
	ask(t, s, &n, `SELECT count(*) FROM scheduled_tasks WHERE action = 'purge_history' AND resource_id = $1`, room)
	return n
}

func ask(t *testing.T, s *sandbox.Server, to *int, sql string, args ...any) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(to) })
	if err != nil {
		t.Fatal(err)
	}
}
