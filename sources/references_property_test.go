package sources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
)

// eventTables are those that the reading of events looks at.
func eventTables() []string {
	return []string{
		"events", "event_json", "state_events", "current_state_events", "local_current_membership", "redactions",
		"current_state_delta_stream", "ex_outlier_stream",
	}
}

// history is what happens to the events of a server, told in SQL.
type history struct {
	t        *rapid.T
	db       *pgxpool.Pool
	n        int
	now      int64 // ms
	high     int64
	low      int64
	pending  []int64 // taken, but not committed
	promised map[int64]int64
	ids      []string
}

func (h *history) run(sql string, args ...any) {
	if _, err := h.db.Exec(context.Background(), sql, args...); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
}

// place takes the next place of the stream.
func (h *history) place() int64 {
	h.high++
	return h.high
}

func (h *history) insert(stream any) {
	h.n++
	id := fmt.Sprintf("$%d", h.n)
	h.ids = append(h.ids, id)
	kind := rapid.SampledFrom([]string{"m.room.message", "m.room.member", "m.image_pack", "m.room.encrypted"}).Draw(h.t, "type")
	isState := kind == "m.room.member" || kind == "m.image_pack"
	outlier := rapid.Bool().Draw(h.t, "outlier")
	text := `{"content":{}}`
	if names := rapid.IntRange(0, 3).Draw(h.t, "names"); names > 0 {
		text = fmt.Sprintf(`{"content":{"url":"mxc://hs/media%d","other":"mxc:\/\/hs\/media%d"}}`, h.n, h.n%names)
	}
	h.run(`INSERT INTO events (topological_ordering, event_id, type, room_id, processed, outlier, depth, received_ts, stream_ordering)
		VALUES ($1, $2, $3, '!r', true, $4, $1, $5, $6)`, h.n, id, kind, outlier, h.now, stream)
	h.run(`INSERT INTO event_json (event_id, room_id, internal_metadata, json, format_version) VALUES ($1, '!r', '{}', $2, 3)`, id, text)
	if isState {
		h.run(`INSERT INTO state_events (event_id, room_id, type, state_key) VALUES ($1, '!r', $2, $1)`, id, kind)
	}
}

func (h *history) any() string {
	if len(h.ids) == 0 {
		h.t.Skip("no event yet")
	}
	return rapid.SampledFrom(h.ids).Draw(h.t, "event")
}

// step is one thing that happens.
func (h *history) step() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"time goes by": func(t *rapid.T) {
			h.now += rapid.Int64Range(0, (90*time.Minute).Milliseconds()).Draw(t, "ms")
			// No transaction takes half an hour.
			h.pending = slices.DeleteFunc(h.pending, func(p int64) bool { return h.promised[p] < h.now-(30*time.Minute).Milliseconds() })
		},
		"an event arrives": func(*rapid.T) { h.insert(h.place()) },
		"another arrives":  func(*rapid.T) { h.insert(h.place()) },
		"one is backfilled": func(*rapid.T) {
			h.low--
			h.insert(h.low)
		},
		"a place is taken": func(*rapid.T) {
			p := h.place()
			h.pending, h.promised[p] = append(h.pending, p), h.now
		},
		"it is committed late": func(t *rapid.T) {
			if len(h.pending) == 0 {
				t.Skip()
			}
			h.insert(h.pending[0])
			h.pending = h.pending[1:]
		},
		"an event without a place":    func(*rapid.T) { h.insert(nil) },
		"a purge makes it an outlier": func(*rapid.T) { h.run(`UPDATE events SET outlier = true WHERE event_id = $1`, h.any()) },
		"an outlier is none any more": func(*rapid.T) {
			id := h.any()
			h.run(`UPDATE events SET outlier = false WHERE event_id = $1`, id)
			h.run(`INSERT INTO ex_outlier_stream (event_stream_ordering, event_id, state_group) VALUES ($1, $2, 1)`, h.place(), id)
		},
		"a purge takes it": func(*rapid.T) {
			id := h.any()
			for _, table := range eventTables()[:4] {
				h.run(`DELETE FROM `+table+` WHERE event_id = $1`, id)
			}
		},
		"it is redacted": func(*rapid.T) {
			h.n++
			h.run(`INSERT INTO redactions (event_id, redacts, received_ts) VALUES ($1, $2, 0)`, fmt.Sprintf("$r%d", h.n), h.any())
		},
		"the redacted is censored": func(*rapid.T) {
			h.run(`UPDATE event_json SET json = '{"content":{}}' WHERE event_id = $1
				AND EXISTS (SELECT FROM redactions WHERE redacts = event_id)`, h.any())
		},
		"it becomes current": func(*rapid.T) {
			id := h.any()
			h.run(`INSERT INTO current_state_events (event_id, room_id, type, state_key)
				SELECT event_id, room_id, type, state_key FROM state_events WHERE event_id = $1 ON CONFLICT DO NOTHING`, id)
			h.run(`INSERT INTO current_state_delta_stream (stream_id, room_id, type, state_key, event_id)
				SELECT $2, room_id, type, state_key, event_id FROM state_events WHERE event_id = $1`, id, h.place())
		},
		"it is replaced": func(*rapid.T) { h.run(`DELETE FROM current_state_events WHERE event_id = $1`, h.any()) },
		"someone is invited by it": func(*rapid.T) {
			h.run(`INSERT INTO local_current_membership (room_id, user_id, event_id, membership)
				SELECT room_id, state_key, event_id, 'invite' FROM state_events WHERE event_id = $1 ON CONFLICT DO NOTHING`, h.any())
		},
	}
}

func (h *history) each(r References) shownSet {
	set := shownSet{}
	if err := r.Each(context.Background(), set.add); err != nil {
		h.t.Fatal(err)
	}
	return set
}

func (h *history) same(what string, want, got shownSet) {
	sorted := cmpopts.SortSlices(func(a, b item.Reason) bool { return a < b })
	if diff := cmp.Diff(want, got, sorted); diff != "" {
		h.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// TestWhatIsRememberedGivesTheSameSetAsReadingEverything: and what has come since a position makes the set before it as
// large as the one after it.
func TestWhatIsRememberedGivesTheSameSetAsReadingEverything(t *testing.T) {
	db := emptyTables(t, eventTables()...)
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, db: db, now: time.Now().Add(-240 * time.Hour).UnixMilli(), promised: map[int64]int64{}}
		h.run(`TRUNCATE ` + strings.Join(eventTables(), ", "))
		anew := 0
		cold := References{DB: db, ServerName: "hs", CutOff: time.Now()}
		warm := cold
		warm.Memory = references.In(dir, fmt.Sprint("hs", time.Now().UnixNano()))
		warm.Say = func(string) { anew++ }
		actions := h.step()
		actions["a run, and changes during the run"] = func(t *rapid.T) {
			before, err := warm.Here(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			want, got := h.each(cold), h.each(warm)
			h.same("remembered", want, got)
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				if len(h.ids) == 0 {
					break
				}
				step := rapid.SampledFrom([]string{
					"an event arrives", "one is backfilled", "an outlier is none any more", "it becomes current",
				}).Draw(t, "change")
				h.step()[step](t)
			}
			if err := warm.Since(context.Background(), db, before, got.add); err != nil {
				t.Fatal(err)
			}
			for hash, why := range h.each(cold) {
				if len(got[hash]) == 0 {
					t.Fatalf("%d is shown (%v) and not in the set", hash, why)
				}
			}
		}
		t.Repeat(actions)
		h.same("at the end", h.each(cold), h.each(warm))
	})
}
