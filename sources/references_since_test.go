package sources

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
)

// since is what came after a position, read in a transaction as a deletion does.
func (w *world) since(from Position) shownSet {
	w.t.Helper()
	set := shownSet{}
	ctx := w.t.Context()
	err := pgx.BeginFunc(ctx, w.refs.DB.(interface {
		Begin(context.Context) (pgx.Tx, error)
	}), func(tx pgx.Tx) error {
		return errors.Join(w.refs.Since(ctx, tx, from, set.add), w.refs.AccountDataSince(ctx, tx, from, set.add))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// past is a position that has all that is there now behind it, without the room for what is being written.
func (w *world) past() Position {
	w.t.Helper()
	at, err := w.refs.Here(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	at.AccountData += accountDataSlack
	at.Reports += reportsSlack
	err = w.refs.DB.QueryRow(w.t.Context(), `SELECT max(stream_ordering), LEAST(min(stream_ordering), 0) FROM events`).Scan(&at.Events, &at.Backfilled)
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

// TestWhatComesToBeShownDuringTheRunIsSeen has one of each way.
func TestWhatComesToBeShownDuringTheRunIsSeen(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	earlier, pinned, reported := w.id("earlier"), w.id("pinned"), w.id("reported")
	exOutlier, exBackfilled, current := w.id("exoutlier"), w.id("exbackfilled"), w.id("current")
	user := "/_matrix/client/v3/user/" + url.PathEscape(w.user.UserID())
	w.put(user+"/account_data/org.example.early", map[string]any{"x": w.hs + earlier})
	w.picture(earlier)
	pin, bad := w.picture(pinned), w.picture(reported)
	was, wasToo, old := w.picture(exOutlier), w.picture(exBackfilled), w.state("org.example.current", "", map[string]any{"x": w.hs + current})
	w.state("org.example.current", "", map[string]any{})
	for _, event := range []string{was, wasToo, old} {
		w.outlier(event)
	}
	from := w.past()

	want := map[string][]item.Reason{earlier: nil}
	uri := func(why ...item.Reason) string {
		id := w.id("x")
		want[id] = why
		return w.hs + id
	}
	w.send("m.room.message", map[string]any{"url": uri(item.Event)})
	w.state("m.room.avatar", "", map[string]any{"url": uri(item.Avatar)})
	w.state("m.image_pack", "", map[string]any{"url": uri("state:m.image_pack")})
	w.put(user+"/account_data/m.widgets", map[string]any{"x": uri(item.AccountData)})
	w.put(user+"/rooms/"+url.PathEscape(w.room)+"/account_data/m.image_pack", map[string]any{"x": uri(item.AccountData)})
	other := w.As("other")
	err := other.Do(ctx, http.MethodPut, "/_matrix/client/v3/user/"+url.PathEscape(other.UserID())+"/account_data/x", nil,
		map[string]any{"x": uri(item.AccountData)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := func(why item.Reason) string { return uri(why) }
	w.banner(one)
	if err := w.As("alone").SetAvatar(ctx, uri(item.Avatar)); err != nil {
		t.Fatal(err)
	}
	w.delayed(one)
	w.state("m.room.pinned_events", "", map[string]any{"pinned": []any{pin}})
	want[pinned] = []item.Reason{item.Pinned}
	if err := w.user.Report(ctx, w.room, bad, "bad"); err != nil {
		t.Fatal(err)
	}
	want[reported] = []item.Reason{item.Reported}
	backfilled := w.id("backfilled")
	event := w.picture(backfilled)
	w.send("m.room.message", map[string]any{"body": "the newest of the room"})
	w.sql(`UPDATE events SET stream_ordering = $1 WHERE event_id = $2`, from.Backfilled-1, event)
	want[backfilled] = []item.Reason{item.Event}
	for id, place := range map[string]int64{was: from.Events + 1000, wasToo: from.Backfilled - 1000} {
		w.sql(`UPDATE events SET outlier = false WHERE event_id = $1`, id)
		w.sql(`INSERT INTO ex_outlier_stream (event_stream_ordering, event_id, state_group) VALUES ($1, $2, 1)`, place, id)
	}
	want[exOutlier], want[exBackfilled] = []item.Reason{item.Event}, []item.Reason{item.Event}
	w.sql(`INSERT INTO current_state_delta_stream (stream_id, room_id, type, state_key, event_id) VALUES ($1, $2, 'org.example.current', '', $3)`,
		from.Events+1000, w.room, old)
	want[current] = []item.Reason{"state:org.example.current"}
	wantShown(t, w.since(from), want)

	// Of each, what came last may have taken its number first.
	at, err := w.refs.Here(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again := w.since(at)
	for id, why := range want {
		for _, why := range why {
			if !slices.Contains(again.why(id), why) {
				t.Errorf("%s is not shown by %s after %+v, which is now", id, why, at)
			}
		}
	}
}

// TestWhatTakesLongIsSaid each minute, and not any more when it has ended.
func TestWhatTakesLongIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said atomic.Int64
		stop := References{Say: func(string) { said.Add(1) }}.tick(&atomic.Int64{})
		<-time.After(150 * time.Second)
		stop()
		<-time.After(time.Hour)
		if said.Load() != 2 {
			t.Errorf("said %d times in 150 seconds", said.Load())
		}
	})
}
