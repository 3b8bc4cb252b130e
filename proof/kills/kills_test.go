package kills_test

import (
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// atLeast is how many runs are killed in one test run.
const atLeast = 50

// TestKilledAtAnyMomentTheNextRunFinishes kills runs with signal 9. However often that was, the last run leaves what one
// undisturbed run leaves, and the one after it finds nothing to do.
func TestKilledAtAnyMomentTheNextRunFinishes(t *testing.T) {
	w := newWorld(t)
	t.Run("fifty kills, in every phase and at any time", func(t *testing.T) { fiftyKills(t, w) })
	t.Run("a purge that outlives its run is adopted", func(t *testing.T) { adopted(t, w) })
	t.Run("the servers are killed as well", func(t *testing.T) { allSides(t, w) })
}

func fiftyKills(t *testing.T, w *world) {
	random := seeded(t)
	k := &kills{w: w, random: random, hits: map[string]int{}, found: map[string]int{}}
	for worlds := 1; ; worlds++ {
		w.begin(t)
		if worlds%2 == 0 { // with a plan that is made before the first of them
			w.approve(t)
		}
		for _, m := range k.sequence() {
			if !k.one(t, m) {
				break // the work is done
			}
		}
		w.ends(t)
		w.same(t)
		w.nothingLeft(t)
		if t.Failed() {
			t.Fatalf("in world %d, after %d kills", worlds, k.total)
		}
		if k.total >= atLeast && len(k.missing()) == 0 && enough(t, 0.7) {
			t.Logf("%d kills in %d worlds: %v; found afterwards: %v", k.total, worlds, k.hits, k.found)
			return
		}
		if worlds == 20 && k.total < atLeast || worlds >= 20 && len(k.missing()) > 0 {
			t.Fatalf("after %d worlds only %d kills: %v; found afterwards: %v; never: %v", worlds, k.total, k.hits, k.found, k.missing())
		}
	}
}

// seeded is a source of chance that a failed test can be given again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("SYNUPKEEP_TEST_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		must(t, err)
	}
	t.Logf("SYNUPKEEP_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var begun = time.Now()

// enough says that a share of the time is over that was given to the tests of chance.
func enough(t *testing.T, share float64) bool {
	t.Helper()
	given := os.Getenv("SYNUPKEEP_TEST_FOR")
	if given == "" {
		return true
	}
	long, err := time.ParseDuration(given)
	must(t, err)
	return time.Since(begun).Seconds() >= share*long.Seconds()
}

// kills counts.
type kills struct {
	w      *world
	random *rand.Rand
	total  int
	hits   map[string]int // kills by moment
	found  map[string]int // what killed runs left
}

// sequence is a world's kills: those of history first, since a run that comes to media has done with it.
func (k *kills) sequence() []moment {
	all := moments()
	at := func(name string) int {
		return slices.IndexFunc(all, func(m moment) bool { return strings.HasPrefix(m.name, name) })
	}
	history, shown, whenever := at("a purge is asked for"), at("what is shown"), at("any time")
	purging, deleting := all[history:shown], all[shown+1:whenever]
	purging = append(slices.Clone(purging), purging[k.random.IntN(len(purging))])
	deleting = slices.Concat(deleting, deleting)
	shuffle := func(m []moment) { k.random.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] }) }
	shuffle(purging)
	shuffle(deleting)
	// While a run is killed in the deletions of one flow, the others go on: the one that waits for what is shown is last.
	for i := range deleting {
		deleting[i].flow = []item.Flow{item.Previews, item.RemoteMedia, item.Previews, item.RemoteMedia, item.LocalMedia}[min(i, 4)]
	}
	chance := all[whenever:]
	return slices.Concat(all[:history], chance, purging, chance, all[shown:shown+1], deleting, chance, chance)
}

// missing are the moments that never came, and the states in which no killed run left things.
func (k *kills) missing() (never []string) {
	for _, m := range moments() {
		if k.hits[m.name] == 0 {
			never = append(never, m.name)
		}
	}
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		if k.hits[string(f)] == 0 {
			never = append(never, string(f))
		}
	}
	for _, state := range []string{halfJournal, halfMemory, filesLeft, halfFiles} {
		if k.found[state] == 0 {
			never = append(never, state)
		}
	}
	return never
}

// What a killed run may leave.
const (
	halfJournal = "a journal that was being written anew"
	halfMemory  = "a memory of what is shown that was being written"
	filesLeft   = "files of rows that are gone"
	halfFiles   = "media with a part of its files"
)

// one starts a run and kills it at a moment. If the moment does not come, the run ends by itself and does not count.
func (k *kills) one(t *testing.T, m moment) (killed bool) {
	t.Helper()
	r := k.w.killed(t, newWatch(m, k.w.took, k.random))
	switch {
	case r.Killed():
		k.total++
		k.hits[m.name]++
		if m.flow != "" {
			k.hits[string(m.flow)]++
		}
	case r.Code != 0:
		t.Fatalf("%s: exit code %d\n%s", m.name, r.Code, r.Log)
	}
	k.w.unlocked(t)
	if os.Getenv("SYNUPKEEP_TEST_FOR") == "" {
		t.Logf("kill %d, %t: %s %s", k.total, r.Killed(), m.name, m.flow)
	}
	k.look(t)
	return r.Killed()
}

// killed starts a run and waits for its end.
func (w *world) killed(t *testing.T, k *watch) program.Result {
	t.Helper()
	k.t, k.world = t, w
	w.watching.Store(k)
	stop := func() {}
	if k.moment.file != nil {
		stop = k.files(t, w.stateDir)
	}
	k.process = w.run(t)
	close(k.started)
	if k.moment.any {
		k.timers.Go(func() { k.killAfter(k.after) })
	}
	r := k.process.Wait(t)
	close(k.done)
	k.timers.Wait()
	stop()
	return r
}

// look says what the killed run left.
func (k *kills) look(t *testing.T) {
	t.Helper()
	for pattern, state := range map[string]string{"*.jsonl.new": halfJournal, "*.bin.new": halfMemory} {
		if left, err := filepath.Glob(filepath.Join(k.w.stateDir, pattern)); err != nil || len(left) > 0 {
			k.found[state]++
		}
	}
	now := stock.OfMedia(t, k.w.s)
	thumbnails := map[string]bool{}
	for name := range now.Files {
		thumbnails[path.Dir(name)] = true
	}
	rowless, half := 0, 0
	for key, r := range k.w.full.Rows {
		if _, there := now.Rows[key]; there || !strings.HasSuffix(r.Table, "_repository") && !strings.HasSuffix(r.Table, "_cache") || r.Text("media_id") == "" || r.Table == "local_media_repository_url_cache" {
			continue
		}
		content, dir := r.Places()
		_, whole := now.Files[content]
		if whole || thumbnails[dir] {
			rowless++
		}
		if _, had := k.w.full.Dirs[dir]; had && whole != thumbnails[dir] {
			half++
		}
	}
	if rowless > 0 {
		k.found[filesLeft]++
	}
	if half > 0 {
		k.found[halfFiles]++
	}
}
