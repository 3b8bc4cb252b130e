package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
)

// childEnv makes the test binary run a run instead of tests: a time zone is a matter of a whole process, and so is its
// violent end.
const childEnv = "SYNUPKEEP_TEST_CHILD"

// childRun is what the child has to know.
type childRun struct {
	Postgres, APIURL, Token string
	// Rooms are those of a run of the history. Without, it is the media's turn.
	Rooms                []string
	MediaStore, StateDir string
	// Flow is the only one, if one is given.
	Flow item.Flow
	// Plan is the file of the plan that is carried out, if one is.
	Plan string
}

// child returns the exit code.
func child(given string) int {
	var c childRun
	if err := json.Unmarshal([]byte(given), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg := &config.Config{
		Postgres: config.NewSecret(c.Postgres), APIURL: c.APIURL, Token: config.Token{Given: config.NewSecret(c.Token)},
		Flows: []item.Flow{item.History}, Ages: map[item.Flow]config.Age{item.History: {Delta: 30 * day}}, JSON: true,
		Plan: c.Plan, History: config.History{Rooms: c.Rooms, InFlight: 3, Timeout: time.Minute, GapGrace: 72 * time.Hour},
	}
	if len(c.Rooms) == 0 {
		cfg.MediaStore, cfg.StateDir = c.MediaStore, c.StateDir
		cfg.Media = config.Media{DeleteConcurrency: 4, BatchSize: 100, KeepShown: true, Via: config.ViaDisk}
		if cfg.Flows = item.Flows()[1:]; c.Flow != "" {
			cfg.Flows = []item.Flow{c.Flow}
		}
		for _, f := range cfg.Flows {
			cfg.Ages[f] = config.Age{Delta: 30 * day}
		}
		cfg.Drift = config.Drift{Delete: item.Deletable(), UploadLifetime: day}
	}
	fmt.Fprintln(os.Stderr, "the time zone is", time.Now().Format("-07:00"))
	causes := Run(context.Background(), context.Background(), cfg, logging.New(os.Stderr, logging.LevelTrace, logging.Text), os.Stdout)
	return item.ExitCode(causes)
}

// TestTimeZoneChangesNothing has Synapse, the database's sessions and the run itself live in New York: an hour on either
// side of the cut-off decides all the same.
func TestTimeZoneChangesNothing(t *testing.T) {
	const zone = "America/New_York"
	s := sandbox.Own(t, sandbox.Options{Env: []string{"TZ=" + zone}})
	live := newTalk(t, s, "live", sandbox.RoomOptions{}, 0)
	filled := newTalk(t, s, "with backfilled messages", sandbox.RoomOptions{}, 0)
	cutOff := time.Now().Add(-30 * day)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.Exec(ctx, `ALTER DATABASE `+s.Database()+` SET timezone = '`+zone+`'`); err != nil {
			return err
		}
		for _, r := range []*talk{live, filled} {
			if err := p.AgeRoom(ctx, r.id, 31*day); err != nil {
				return err
			}
		}
		for _, hours := range []time.Duration{-7, -3, -1, 1, 3, 7} {
			id, err := p.Event(ctx, sandbox.NewEvent{Room: live.id, Sent: cutOff.Add(hours * time.Hour), Received: cutOff.Add(hours * time.Hour)})
			if err != nil {
				return err
			}
			live.messages = append(live.messages, id)
		}
		prev, err := p.BulkMessages(ctx, filled.id, 1, cutOff.Add(-8*time.Hour), 0)
		if err != nil {
			return err
		}
		filled.messages = prev
		for _, hours := range []time.Duration{-7, -3, -1, 1, 3, 7} {
			last := filled.messages[len(filled.messages)-1]
			id, err := p.Backfilled(ctx, filled.id, last, 0, cutOff.Add(hours*time.Hour), time.Now())
			if err != nil {
				return err
			}
			filled.messages = append(filled.messages, id)
		}
		// What was backfilled is no extremity: the room goes on above it.
		tip, err := p.Event(ctx, sandbox.NewEvent{Room: filled.id, Prev: []string{filled.messages[6]}})
		if err != nil {
			return err
		}
		filled.messages = append(filled.messages, tip)
		return p.Exec(ctx, `DELETE FROM event_forward_extremities WHERE event_id = $1`, prev[0])
	})
	live.goes, filled.goes = 3, 4
	live.before, filled.before = rowsOf(t, s, live.id), rowsOf(t, s, filled.id)

	given, err := json.Marshal(childRun{Postgres: s.ConnString(), APIURL: s.APIURL(), Token: s.AdminToken(), Rooms: []string{live.id, filled.id}})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(given), "TZ="+zone)
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), log.String())
	}
	zones := []string{"the time zone is -04:00", "the time zone is -05:00"}
	if !bytes.Contains(log.Bytes(), []byte(zones[0])) && !bytes.Contains(log.Bytes(), []byte(zones[1])) {
		t.Errorf("the run was not in New York: %s", log.String())
	}
	var inDatabase string
	if err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SHOW timezone`).Scan(&inDatabase)
	}); err != nil || inDatabase != zone {
		t.Errorf("the database's sessions are in %q (%v)", inDatabase, err)
	}
	for _, r := range []*talk{live, filled} {
		t.Run(r.name, func(t *testing.T) { r.check(t, s) })
	}
}
