package doctor

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
)

// check is one look at one thing.
type check struct {
	name  string // a stable word
	needs []need
	limit time.Duration // 0: the usual
	do    func(context.Context, *exam) finding
}

// need is what a check cannot be made without: it returns what is missing, or "".
type need func(*exam) (missing string)

func unless(there bool, missing string) string {
	if there {
		return ""
	}
	return missing
}

func database(e *exam) string { return unless(e.db != nil, "no database") }

func schema(e *exam) string {
	return cmp.Or(database(e), unless(e.knowsSchema, "no database of a Synapse that is known"))
}

func primary(e *exam) string { return unless(!e.standby, "the database is a standby") }

func api(e *exam) string { return unless(e.answers, "no admin API") }

func admin(e *exam) string { return cmp.Or(api(e), unless(e.user != "", "no token of an admin")) }

func onDisk(e *exam) string {
	return unless(len(e.diskFlows()) > 0, "no media is to be deleted on this disk")
}

func viaAPI(e *exam) string {
	return unless(e.cfg.Media.Via == config.ViaAPI, "media is not deleted through the API (--media-via api)")
}

func mediaStore(e *exam) string { return unless(e.store != nil, "no media store") }

func history(e *exam) string {
	return unless(e.flows(item.History), "history is not one of the flows")
}

func historyAge(e *exam) string {
	_, given := e.cfg.Ages[item.History]
	return unless(given, "no age for history is given (--delta, --history-delta, --before)")
}

func homeserverConfig(e *exam) string {
	return unless(e.cfg.Synapse != nil, "no homeserver.yaml is known (--homeserver-config)")
}

func (e *exam) flows(f item.Flow) bool { return slices.Contains(e.cfg.Flows, f) }

// diskFlows are those that delete files themselves.
func (e *exam) diskFlows() []item.Flow {
	if e.cfg.Media.Via == config.ViaAPI {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(e.cfg.Flows), func(f item.Flow) bool { return f == item.History })
}

// checks lists all of them, in their order.
func checks() []check {
	return []check{
		{name: "database", do: checkDatabase},
		{name: "postgresql", needs: []need{database}, do: checkPostgreSQL},
		{name: "primary", needs: []need{database}, do: checkPrimary},
		{name: "pooler", needs: []need{database}, do: checkPooler},
		{name: "run", needs: []need{database, primary}, do: checkRun},
		{name: "schema", needs: []need{database}, do: checkSchema},
		{name: "privileges", needs: []need{schema}, do: checkPrivileges},
		{name: "indexes", needs: []need{schema}, do: checkIndexes},
		{name: "background-updates", needs: []need{schema}, do: checkBackgroundUpdates},

		{name: "api", do: checkAPI},
		{name: "token", needs: []need{api}, do: checkToken},
		{name: "same-server", needs: []need{schema, primary, admin}, do: checkSameServer},
		{name: "purge-api", needs: []need{history, admin}, do: checkPurgeAPI},
		{name: "media-api", needs: []need{viaAPI, admin}, do: checkMediaAPI},
		{name: "clocks", needs: []need{database}, do: checkClocks},

		{name: "media-store", needs: []need{onDisk}, do: checkMediaStore},
		{name: "media-files", needs: []need{onDisk, mediaStore, schema}, do: checkMediaFiles},
		{name: "media-space", needs: []need{onDisk, mediaStore}, do: checkMediaSpace},
		{name: "storage-providers", needs: []need{homeserverConfig}, do: checkProviders},
		{name: "state-directory", do: checkStateDirectory},

		{name: "stuck-tasks", needs: []need{schema}, do: checkStuckTasks},
		{name: "failed-tasks", needs: []need{schema}, do: checkFailedTasks},
		{name: "state-groups", needs: []need{schema}, do: checkStateGroups},
		{name: "transactions", needs: []need{database}, do: checkTransactions},
		{name: "vacuum", needs: []need{schema}, do: checkVacuum},
		{name: "growth", needs: []need{schema}, do: checkGrowth},

		{name: "broken-rooms", needs: []need{schema}, limit: time.Minute, do: checkBrokenRooms},
		{name: "partial-joins", needs: []need{schema}, do: checkPartialJoins},
		{name: "held-rooms", needs: []need{schema, history, historyAge}, limit: 2 * time.Minute, do: checkHeldRooms},
		{name: "retention", needs: []need{schema}, do: checkRetention},
		{name: "destinations", needs: []need{schema}, do: checkDestinations},
	}
}

// limits are what separates much from usual.
type limits struct {
	check       time.Duration // for one check
	transaction time.Duration // how long a transaction may be open
	task        time.Duration // how long a task of the server may be at it
	waiting     int64         // tasks that wait for their turn
	stateGroups time.Duration // how long one may wait for its deletion
	dead        int64         // dead rows of a table
	heldRoom    int64         // messages that are held in a room
	held        time.Duration // how long past the cut-off they are
	heldTime    time.Duration // for looking for such rooms
	heldRooms   int           // that are looked at
	free        float64       // of a file system
	freeBytes   uint64
	grown       float64 // 1: as large as is usual on a large server
}

func usual() limits {
	const day = 24 * time.Hour
	return limits{
		check: 30 * time.Second, transaction: time.Hour, task: time.Hour, waiting: 20, stateGroups: day, dead: 1_000_000,
		heldRoom: 50, held: 30 * day, heldTime: time.Minute, heldRooms: 300, free: 0.05, freeBytes: 1 << 30, grown: 1,
	}
}

// world is what no server can be made to show in a test.
type world struct {
	clock func() time.Time
	space func(path string) (space, error)
	uid   int
}

func realWorld() world { return world{clock: time.Now, space: spaceOf, uid: os.Geteuid()} }
