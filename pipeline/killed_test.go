package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestKilledAtAnyMomentTheNextRunFinishes kills run after run while they delete. Whatever they left behind, the last one
// leaves exactly what one undisturbed run leaves.
func TestKilledAtAnyMomentTheNextRunFinishes(t *testing.T) {
	s := emptied(t)
	var gone []string
	old := time.Now().Add(-longAgo)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		data := bytes.Repeat([]byte("x"), 500)
		if gone, err = p.LocalMedia(ctx, 1000, sandbox.Media{Data: data, Thumbnails: 2, Created: old}, time.Second); err != nil {
			return err
		}
		for i := range 200 {
			m := sandbox.Media{Data: data, Thumbnails: 2, Created: old, LastAccess: old}
			preview, err := p.Preview(ctx, fmt.Sprint("http://page/", i), m)
			if err != nil {
				return err
			}
			gone = append(gone, "mxc://"+s.ServerName()+"/"+preview.PageID, "mxc://"+s.ServerName()+"/"+preview.ImageID)
			m.Origin = fmt.Sprint("server", i%7)
			mxc, err := p.RemoteMedia(ctx, m)
			if err != nil {
				return err
			}
			gone = append(gone, mxc)
		}
		_, err = p.LocalMedia(ctx, 50, sandbox.Media{Data: data, Thumbnails: 2, Created: time.Now()}, time.Second)
		return err
	})
	before := stock.OfMedia(t, s)
	stateDir := filepath.Join(t.TempDir(), "state")
	given, err := json.Marshal(childRun{
		Postgres: s.ConnString(), APIURL: s.APIURL(), Token: s.AdminToken(), MediaStore: s.MediaStore(), StateDir: stateDir,
	})
	if err != nil {
		t.Fatal(err)
	}
	finished := 0
	const kills = 5
	for killed := 0; killed < kills; {
		code, log := killedAfter(t, s, string(given), rand.IntN(200))
		if bytes.Contains(log, []byte("finished what an earlier run began")) {
			finished++
		}
		switch code {
		case -1:
			killed++
		case item.ExitCode([]item.Cause{item.CauseLocked}): // PostgreSQL has not noticed yet that its client is gone
		default:
			t.Fatalf("after %d kills: exit code %d\n%s", killed, code, log)
		}
	}
	t.Logf("of %d runs %d found something to finish", kills, finished)
	if finished == 0 {
		t.Error("nothing was killed between rows and files: the test shows nothing")
	}
	for {
		code, log := killedAfter(t, s, string(given), -1)
		if code == item.ExitCode([]item.Cause{item.CauseLocked}) {
			continue
		}
		if code != 0 {
			t.Fatalf("the last run: exit code %d\n%s", code, log)
		}
		break
	}
	stock.Exactly(t, s, before.Without(t, gone...))
}

// killedAfter lets a child run until it has deleted that many rows, then kills it; fewer than 0 lets it come to its end.
// -1 says that it was killed.
func killedAfter(t *testing.T, s *sandbox.Server, given string, rows int) (code int, log []byte) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+given)
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if rows >= 0 {
			// The end of the child interrupts it, mostly.
			_ = s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error { return killAt(ctx, db, rows, cancel) })
		}
	}()
	err = cmd.Wait()
	cancel()
	<-watched
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), output.Bytes()
}

// killAt calls kill as soon as that many rows of media are gone.
func killAt(ctx context.Context, db *pgx.Conn, rows int, kill func()) error {
	const count = `SELECT (SELECT count(*) FROM local_media_repository) + (SELECT count(*) FROM remote_media_cache)`
	var first, now int
	if err := db.QueryRow(ctx, count).Scan(&first); err != nil {
		return err
	}
	for now = first; first-now <= rows; {
		if err := db.QueryRow(ctx, count).Scan(&now); err != nil {
			return err
		}
	}
	kill()
	return nil
}
