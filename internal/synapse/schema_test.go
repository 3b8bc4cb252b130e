package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// altered calls f in a transaction of a superuser in which some SQL has changed the real database; it is rolled back.
func altered(t *testing.T, f func(ctx context.Context, tx pgx.Tx), sql ...string) {
	t.Helper()
	s := sandbox.Shared(t)
	err := s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx) //nolint:errcheck // nothing of it is to stay
		for _, statement := range sql {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		f(ctx, tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, connString string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), connString)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func TestFeaturesOfTheRealDatabase(t *testing.T) {
	s := sandbox.Shared(t)
	db := connect(t, s.ConnString())
	f, err := synapse.ReadFeatures(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	sliding := !s.Before("1.115.0")
	schema := map[string]int{"1.98.0": 83, "1.124.0": 89, "1.130.0": 92, "1.163.2": 94}[s.Release()]
	if want := (synapse.Features{SchemaVersion: schema, SlidingSync: sliding, MembershipEventIndex: sliding, JumpToDate: true, TIDRange: true}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
	if err := synapse.CheckPrivileges(t.Context(), db, everything()); err != nil {
		t.Error(err)
	}
	if err := synapse.CheckHistory(synapse.Version{Major: 1, Minor: 163}, f); err != nil {
		t.Error(err)
	}
}

func TestDatabaseThatIsNotSynapses(t *testing.T) {
	s := sandbox.Shared(t)
	other := strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname=postgres", 1)
	if _, err := synapse.ReadFeatures(t.Context(), connect(t, other)); !errors.Is(err, synapse.ErrNotSynapse) {
		t.Errorf("%v", err)
	}
}

func TestRoleThatMayReadNothing(t *testing.T) {
	db := connect(t, sandbox.Shared(t).OutsiderConnString())
	if _, err := synapse.ReadFeatures(t.Context(), db); !errors.Is(err, synapse.ErrNoPrivilege) {
		t.Errorf("%v", err)
	}
	err := synapse.CheckPrivileges(t.Context(), db, everything())
	if !errors.Is(err, synapse.ErrNoPrivilege) {
		t.Fatalf("%v", err)
	}
	lacking := []string{
		"SELECT on events,", "DELETE on local_media_repository,", "SELECT on account_data,", "SELECT on account_data_sequence,",
	}
	if !sandbox.Shared(t).Before("1.116.0") {
		lacking = append(lacking, "SELECT on delayed_events,")
	}
	for _, lacks := range lacking {
		if !strings.Contains(err.Error(), lacks) {
			t.Errorf("%s is not named: %v", lacks, err)
		}
	}
}

func TestSchemasThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		sql  string
		want error
		text string
	}{
		"too old":            {`UPDATE schema_version SET version = 82`, synapse.ErrOldSchema, "it is 82, at least 83 is needed"},
		"of 1.98":            {`UPDATE schema_version SET version = 83`, nil, ""},
		"without a column":   {`ALTER TABLE event_reports DROP COLUMN received_ts`, synapse.ErrOldSchema, "it lacks event_reports.received_ts"},
		"without a table":    {`DROP TABLE scheduled_tasks`, synapse.ErrOldSchema, "it lacks scheduled_tasks.action, scheduled_tasks.error, "},
		"without its events": {`ALTER TABLE events RENAME TO something_else`, synapse.ErrNotSynapse, ""},
	} {
		t.Run(name, func(t *testing.T) {
			altered(t, func(ctx context.Context, tx pgx.Tx) {
				_, err := synapse.ReadFeatures(ctx, tx)
				if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v", err)
				}
			}, `SET LOCAL lock_timeout = '5s'`, test.sql)
		})
	}
}

func TestFeaturesThatAreMissing(t *testing.T) {
	const index = "sliding_sync_membership_snapshots_membership_event_id_idx"
	for name, test := range map[string]struct {
		sql     string
		want    func(synapse.Features) bool
		history bool // may be purged
	}{
		"no index on membership events": {`DROP INDEX ` + index, func(f synapse.Features) bool { return f.SlidingSync && !f.MembershipEventIndex }, false},
		"one that is not built yet": {
			`UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = '` + index + `'::regclass`,
			func(f synapse.Features) bool { return !f.MembershipEventIndex }, false,
		},
		"no sliding sync at all": {
			`DROP TABLE sliding_sync_joined_rooms, sliding_sync_membership_snapshots`,
			func(f synapse.Features) bool { return !f.SlidingSync && !f.MembershipEventIndex }, true,
		},
		"no index by date": {`DROP INDEX events_jump_to_date_idx`, func(f synapse.Features) bool { return !f.JumpToDate }, true},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(test.sql, "sliding_sync") {
				sandbox.Needs(t, "1.115.0", "the tables of sliding sync are not there to be taken away")
			}
			altered(t, func(ctx context.Context, tx pgx.Tx) {
				f, err := synapse.ReadFeatures(ctx, tx)
				if err != nil || !test.want(f) {
					t.Errorf("%+v, %v", f, err)
				}
				err = synapse.CheckHistory(synapse.Version{Major: 1, Minor: 120}, f)
				if (err == nil) != test.history || err != nil && !strings.Contains(err.Error(), "CREATE INDEX CONCURRENTLY") {
					t.Errorf("%v", err)
				}
			}, `SET LOCAL lock_timeout = '5s'`, test.sql)
		})
	}
}

func TestRemedyForTheMissingIndexWorks(t *testing.T) {
	sandbox.Needs(t, "1.115.0", "the table that needs the index is not there")
	const index = "sliding_sync_membership_snapshots_membership_event_id_idx"
	altered(t, func(ctx context.Context, tx pgx.Tx) {
		err := synapse.CheckHistory(synapse.Version{Major: 1, Minor: 120}, synapse.Features{SlidingSync: true})
		_, remedy, found := strings.Cut(err.Error(), "or: ")
		if !found {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, strings.Replace(remedy, "CONCURRENTLY ", "", 1)); err != nil { // not within a transaction
			t.Fatal(err)
		}
		if f, err := synapse.ReadFeatures(ctx, tx); err != nil || !f.MembershipEventIndex {
			t.Errorf("%+v, %v", f, err)
		}
	}, `SET LOCAL lock_timeout = '5s'`, `DROP INDEX `+index)
}

// everything is what a run of all flows on the disk needs.
func everything() synapse.Needs {
	return synapse.Needs{DeleteLocalMedia: true, DeletePreviews: true, DeleteRemoteMedia: true, AccountData: true}
}

func TestARoleNeedsNoMoreThanTheRunDoes(t *testing.T) {
	const (
		local, remote = "DELETE on local_media_repository, DELETE on local_media_repository_thumbnails",
			"DELETE on remote_media_cache, DELETE on remote_media_cache_thumbnails"
		answers               = "DELETE on local_media_repository_url_cache"
		lockLocal, lockRemote = "UPDATE on local_media_repository", "UPDATE on remote_media_cache"
		position              = "SELECT on account_data_sequence"
		back                  = "INSERT on local_media_repository, INSERT on local_media_repository_thumbnails"
	)
	for name, test := range map[string]struct {
		needs synapse.Needs
		lacks []string
	}{
		"history, and the rest through the API": {synapse.Needs{}, nil},
		"uploads through the API":               {synapse.Needs{AccountData: true}, []string{position}},
		"uploads":                               {synapse.Needs{DeleteLocalMedia: true, AccountData: true}, []string{local, back, position, lockLocal}},
		"previews":                              {synapse.Needs{DeletePreviews: true}, []string{local, answers, lockLocal}},
		"remote media":                          {synapse.Needs{DeleteRemoteMedia: true}, []string{remote, lockRemote}},
		"everything":                            {everything(), []string{local, answers, remote, back, position, lockLocal, lockRemote}},
	} {
		t.Run(name, func(t *testing.T) {
			grants := []string{`CREATE ROLE half`, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO half`}
			check := func(want string) {
				altered(t, func(ctx context.Context, tx pgx.Tx) {
					got := ""
					if err := synapse.CheckPrivileges(ctx, tx, test.needs); err != nil {
						if !errors.Is(err, synapse.ErrNoPrivilege) {
							t.Fatal(err)
						}
						_, got, _ = strings.Cut(err.Error(), ": ")
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Error(diff)
					}
				}, append(slices.Clone(grants), `SET LOCAL ROLE half`)...)
			}
			check(strings.Join(test.lacks, ", "))
			for lack := range strings.SplitSeq(strings.Join(test.lacks, ", "), ", ") {
				if lack != "" {
					grants = append(grants, `GRANT `+lack+` TO half`)
				}
			}
			check("")
		})
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]synapse.Version{
		"1.163.2":                        {Major: 1, Minor: 163},
		"1.98.0rc1 (b=develop,1a2b3c)":   {Major: 1, Minor: 98},
		"1.98":                           {Major: 1, Minor: 98},
		"2.0.0":                          {Major: 2, Minor: 0},
		"1.120.0+ess.1":                  {Major: 1, Minor: 120},
		"1.99.0 (b=matrix-org-hotfixes)": {Major: 1, Minor: 99},
	} {
		if got, err := synapse.ParseVersion(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "v1.98.0", "1.98rc1", "Dendrite 0.13.7", "99999.1", "1.99999", "-1.98"} {
		if got, err := synapse.ParseVersion(text); err == nil {
			t.Errorf("%q became %v", text, got)
		}
	}
}

func TestVersionsThatAreRefusedOrWarnedAbout(t *testing.T) {
	for _, test := range []struct {
		version  synapse.Version
		refused  bool
		warnings int
	}{
		{synapse.Version{Major: 0, Minor: 99}, true, 2},
		{synapse.Version{Major: 1, Minor: 60}, true, 2},
		{synapse.Version{Major: 1, Minor: 97}, true, 2},
		{synapse.Version{Major: 1, Minor: 98}, false, 2},
		{synapse.Version{Major: 1, Minor: 123}, false, 2},
		{synapse.Version{Major: 1, Minor: 124}, false, 1},
		{synapse.Version{Major: 1, Minor: 155}, false, 1},
		{synapse.Version{Major: 1, Minor: 156}, false, 0},
		{synapse.Version{Major: 2, Minor: 0}, false, 0},
	} {
		if err := synapse.CheckVersion(test.version); (err != nil) != test.refused {
			t.Errorf("%v: %v", test.version, err)
		}
		if got := synapse.HistoryWarnings(test.version); len(got) != test.warnings {
			t.Errorf("%v: %q", test.version, got)
		}
	}
}

// TestARoleThatSeesAPartIsRefused: what row-level security hides could be what shows media.
func TestARoleThatSeesAPartIsRefused(t *testing.T) {
	altered(t, func(ctx context.Context, tx pgx.Tx) {
		err := synapse.CheckPrivileges(ctx, tx, everything())
		if !errors.Is(err, synapse.ErrNoPrivilege) || !strings.Contains(err.Error(), "hides rows of profiles") {
			t.Error(err)
		}
	}, `CREATE ROLE half`, `GRANT ALL ON ALL TABLES IN SCHEMA public TO half`, `GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO half`,
		`ALTER TABLE profiles ENABLE ROW LEVEL SECURITY`, `CREATE POLICY all_of_them ON profiles USING (true)`, `SET LOCAL ROLE half`)
}
