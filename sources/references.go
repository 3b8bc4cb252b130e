package sources

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/references"
	"synupkeep/internal/retry"
)

// Database is read within transactions, too; a pgx pool or connection is one.
type Database interface {
	postgres.Querier
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// References enumerates the local media that is still shown: by profiles, current state, account data, events that are
// still to be sent and every event that is kept. A text names media with an mxc URI or a link to download it; where it
// stands in the text does not matter.
type References struct {
	// DB needs two connections while all events are read.
	DB         Database
	ServerName string
	// CutOff is of local media. Avatars that were replaced since are shown beside messages of their time.
	CutOff time.Time
	// ReportsSince: what was reported from then on is shown to the admin.
	ReportsSince time.Time
	Retry        retry.Policy
	// Memory holds what earlier runs have read. Without one everything is read.
	Memory *references.Memory
	// Going says that a purge will take the events of this room at this depth away, though it has not yet. It may be nil.
	Going func(roomID string, depth int64) bool
	// Say is told what takes long, at least each minute, and why the memory is not used. It may be nil.
	Say func(text string)
}

// Each calls f with a hash of the id of all media that is still shown, some of them more than once and for several
// reasons. When it fails, the set is not complete and no local media may be deleted.
func (r References) Each(ctx context.Context, f func(hash uint64, why item.Reason)) error {
	since, err := firstAfterCutOff(ctx, r.DB, r.Retry, r.CutOff)
	if err != nil {
		return err
	}
	has, err := r.features(ctx)
	if err != nil {
		return err
	}
	for _, t := range texts(has) {
		if err := r.read(ctx, t, f); err != nil {
			return err
		}
	}
	if err := r.replaced(ctx, since, f); err != nil {
		return err
	}
	if err := r.pinned(ctx, f); err != nil {
		return err
	}
	if err := r.reported(ctx, f); err != nil {
		return err
	}
	return r.events(ctx, f)
}

// text gives one column of text, in which media may be named.
type text struct {
	what string
	why  item.Reason
	sql  string // $1 is what a text that names local media must hold
	args []any  // from $2 on
}

func texts(has features) []text {
	texts := []text{
		{what: "user directory", why: item.Avatar, sql: `SELECT avatar_url FROM user_directory WHERE position($1 in avatar_url) > 0`},
		{what: "room avatars", why: item.Avatar, sql: `SELECT avatar FROM room_stats_state WHERE position($1 in avatar) > 0`},
		{what: "account data", why: item.AccountData, sql: `SELECT content FROM account_data WHERE position($1 in content) > 0`},
		{what: "account data of rooms", why: item.AccountData, sql: `SELECT content FROM room_account_data WHERE position($1 in content) > 0`},
	}
	return append(texts, small(has)...)
}

// changes is how many places of the stream of changes are read at once: with a cut-off of years one statement for all of
// them would take longer than a statement may.
const changes = 100_000

// replaced reads the avatars that were replaced from a place in the stream on. The table keeps every change of current
// state: what it replaced, and the stream ordering of the change.
func (r References) replaced(ctx context.Context, since int64, f func(uint64, item.Reason)) error {
	var last int64
	_, err := r.Retry.Do(ctx, func() error {
		return r.DB.QueryRow(ctx, `SELECT COALESCE(max(stream_id), 0) FROM current_state_delta_stream`).Scan(&last)
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("read how far the changes of state go: %w", err)
	}
	for ; since <= last; since += changes {
		err := r.read(ctx, text{what: "replaced avatars", why: item.Avatar, args: []any{since, since + changes}, sql: `
			SELECT j.json FROM current_state_delta_stream d JOIN event_json j ON j.event_id = d.prev_event_id
			WHERE d.stream_id >= $2 AND d.stream_id < $3 AND d.type IN ('m.room.member', 'm.room.avatar') AND position($1 in j.json) > 0`}, f)
		if err != nil {
			return err
		}
	}
	return nil
}

// small are tables of few rows, which are read whole even within a deleting transaction.
func small(has features) []text {
	texts := []text{
		{what: "profiles", why: item.Avatar, sql: `SELECT avatar_url FROM profiles WHERE position($1 in avatar_url) > 0`},
	}
	if has.profileFields {
		texts = append(texts, text{what: "profile fields", why: item.Profile, sql: `
			SELECT fields::text FROM profiles WHERE fields IS NOT NULL AND position($1 in fields::text) > 0`})
	}
	if has.delayedEvents {
		// The content was bytes up to Synapse 1.145.
		texts = append(texts, text{what: "delayed events", why: item.DelayedEvent, sql: `SELECT content FROM delayed_events WHERE $1 <> ''`})
	}
	return texts
}

// features are tables and columns that not every version of Synapse has.
type features struct{ profileFields, delayedEvents bool }

func (r References) features(ctx context.Context) (has features, err error) {
	_, err = r.Retry.Do(ctx, func() error {
		has, err = readFeatures(ctx, r.DB)
		return err
	}, postgres.Again)
	return has, err
}

func readFeatures(ctx context.Context, q postgres.Querier) (has features, err error) {
	err = q.QueryRow(ctx, `
		SELECT to_regclass('delayed_events') IS NOT NULL, EXISTS (SELECT FROM pg_attribute
			WHERE attrelid = to_regclass('profiles') AND attname = 'fields' AND NOT attisdropped)`).
		Scan(&has.delayedEvents, &has.profileFields)
	if err != nil {
		return has, fmt.Errorf("look at the schema: %w", err)
	}
	return has, nil
}

func (r References) read(ctx context.Context, t text, f func(uint64, item.Reason)) error {
	_, err := r.Retry.Do(ctx, func() error { return r.readOnce(ctx, r.DB, t, f) }, postgres.Again)
	return err
}

func (r References) readOnce(ctx context.Context, q postgres.Querier, t text, f func(uint64, item.Reason)) error {
	rows, err := q.Query(ctx, t.sql, append([]any{needle(r.ServerName)}, t.args...)...)
	if err == nil {
		var found []byte
		_, err = pgx.ForEachRow(rows, []any{&found}, func() error {
			for _, hash := range named(string(found), r.ServerName) {
				f(hash, t.why)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("read what names local media (%s): %w", t.what, err)
	}
	return nil
}

func (r References) say(format string, args ...any) {
	if r.Say != nil {
		r.Say(fmt.Sprintf(format, args...))
	}
}
