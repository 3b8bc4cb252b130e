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

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// TestKilledAtAnyMomentTheNextRunFinishes kills run after run, until one comes to its end before it is killed. Whatever
// they left behind, the last one leaves exactly what one undisturbed run leaves.
func TestKilledAtAnyMomentTheNextRunFinishes(t *testing.T) {
	s := emptied(t)
	var gone []string
	old := time.Now().Add(-longAgo)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		data := bytes.Repeat([]byte("x"), 500)
		if gone, err = p.LocalMedia(ctx, 3000, sandbox.Media{Data: data, Thumbnails: 2, Created: old}, time.Second); err != nil {
			return err
		}
		for i := range 600 {
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
	before := takeStock(t, s)
	stateDir := filepath.Join(t.TempDir(), "state")
	given, err := json.Marshal(childRun{
		Postgres: s.ConnString(), APIURL: s.APIURL(), Token: s.AdminToken(), MediaStore: s.MediaStore(), StateDir: stateDir,
	})
	if err != nil {
		t.Fatal(err)
	}
	killed, finished := 0, 0
	for runs := 0; ; runs++ {
		code, log := killedAfter(t, string(given), time.Duration(80+rand.IntN(250))*time.Millisecond)
		if bytes.Contains(log, []byte("finished what an earlier run began")) {
			finished++
		}
		switch code {
		case -1:
			killed++
		case 0:
			t.Logf("%d runs were killed, %d found something to finish", killed, finished)
			if killed == 0 || finished == 0 {
				t.Error("nothing was killed between rows and files: the test shows nothing")
			}
			exactly(t, s, before.without(t, gone...))
			return
		case item.ExitCode([]item.Cause{item.CauseLocked}): // PostgreSQL has not noticed yet that its client is gone
		default:
			t.Fatalf("exit code %d\n%s", code, log)
		}
		if runs > 200 {
			t.Fatal("no run comes to its end")
		}
	}
}

// killedAfter lets a child run for a while. -1 says that it had to be killed.
func killedAfter(t *testing.T, given string, after time.Duration) (code int, log []byte) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+given)
	cmd.Stderr = &output
	err = cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), output.Bytes()
}
