package privileges

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestTheUserIsTheOneThatIsAskedForThenSynapsesThenTheOwnerOfTheStoreThenAThousand(t *testing.T) {
	store := t.TempDir()
	var stat syscall.Stat_t
	if err := syscall.Stat(store, &stat); err != nil {
		t.Fatal(err)
	}
	ofStore := identity{int(stat.Uid), int(stat.Gid)}
	if ofStore.uid == 0 { // tests run as root, and for them the store belongs to somebody else
		ofStore = identity{4711, 4712}
		if err := os.Chown(store, 4711, 4712); err != nil {
			t.Fatal(err)
		}
	}
	none, file := filepath.Join(store, "none"), filepath.Join(store, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		env    []string
		stores []string
		want   identity
	}{
		{"nothing is said, and there is no store", nil, []string{"", none, file}, identity{1000, 1000}},
		{"the store's owner", nil, []string{none, store, "/"}, ofStore},
		{"Synapse's user wins over the store's", []string{"UID", "991", "GID", "992"}, []string{store}, identity{991, 992}},
		{"Synapse's user alone has the group of its image", []string{"UID", "990"}, []string{store}, identity{990, 991}},
		{"ours wins over Synapse's", []string{"CUSTOM_UID", "7", "CUSTOM_GID", "8", "UID", "991", "GID", "992"}, []string{store}, identity{7, 8}},
		{"our user, the group of Synapse's", []string{"CUSTOM_UID", "7", "GID", "992"}, []string{store}, identity{7, 992}},
		{"our user, the group of the store", []string{"CUSTOM_UID", "7"}, []string{store}, identity{7, ofStore.gid}},
		{"our user, and no store", []string{"CUSTOM_UID", "7"}, nil, identity{7, 1000}},
		{"our group, the user of the store", []string{"CUSTOM_GID", "8"}, []string{store}, identity{ofStore.uid, 8}},
		{"empty is as good as unset", []string{"CUSTOM_UID", "", "UID", ""}, nil, identity{1000, 1000}},
		{"root, when it is said", []string{"CUSTOM_UID", "0", "CUSTOM_GID", "0"}, []string{store}, identity{0, 0}},
	} {
		who, warnings, err := Input{LookupEnv: environment(test.env...), Stores: test.stores}.decide()
		if err != nil || who != test.want || len(warnings) != 0 {
			t.Errorf("%s: %+v, want %+v; %q, %v", test.name, who, test.want, warnings, err)
		}
	}
}

func TestNobodyBecomesRootForAStoreOfRoots(t *testing.T) {
	who, warnings, err := Input{LookupEnv: environment(), Stores: []string{"/"}}.decide()
	if err != nil || (who != identity{1000, 1000}) {
		t.Errorf("%+v, %v", who, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "CUSTOM_UID=0") {
		t.Errorf("%q", warnings)
	}
}

func TestWhatIsNoUserIsRefusedWithWords(t *testing.T) {
	for _, value := range []string{"-1", "synapse", "1000:1000", "0x3e8", "1e3", " 991", "+5", "4294967295", "99999999999", "9.5", "\x1b[2Jevil-and-very-long-text-that-goes-on"} {
		for _, name := range []string{"CUSTOM_UID", "CUSTOM_GID", "UID", "GID"} {
			_, _, err := Input{LookupEnv: environment(name, value)}.decide()
			if err == nil {
				t.Errorf("%s=%q is taken", name, value)
				continue
			}
			if text := err.Error(); !strings.Contains(text, name+" is") || strings.ContainsRune(text, '\x1b') || len(text) > 200 {
				t.Errorf("%s=%q: %s", name, value, text)
			}
		}
	}
	_, _, err := Input{LookupEnv: environment("CUSTOM_UID", "me", "CUSTOM_GID", "us")}.decide()
	if err == nil || !strings.Contains(err.Error(), "CUSTOM_UID") || !strings.Contains(err.Error(), "CUSTOM_GID") {
		t.Errorf("not all that is wrong is told: %v", err)
	}
}

func TestRootIsNeverAGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var env []string
		for _, name := range []string{"CUSTOM_UID", "CUSTOM_GID", "UID", "GID"} {
			if rapid.Bool().Draw(t, name+" is set") {
				env = append(env, name, rapid.SampledFrom([]string{"", "1", "991", "65534", "4294967294"}).Draw(t, name))
			}
		}
		stores := rapid.SliceOfN(rapid.SampledFrom([]string{"/", "/nowhere", "/proc", ""}), 0, 3).Draw(t, "stores")
		who, _, err := Input{LookupEnv: environment(env...), Stores: stores}.decide()
		if err != nil || who.uid == 0 || who.gid == 0 {
			t.Fatalf("%+v, %v", who, err)
		}
	})
}

// child is set in the processes that the tests start as root.
const child = "SYNUPKEEP_TEST_PRIVILEGES"

// passesAsRoot runs the calling test again in a process of its own, which gives up what it has, and fails unless it passes there.
// Whoever is not root has nothing to give up: that half is with the tests of the image, which are root's.
func passesAsRoot(t *testing.T, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), append(env, child+"=1")...)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRootIsGivenUpOnEveryThreadAndForGood(t *testing.T) {
	if os.Getenv(child) == "" {
		passesAsRoot(t, Marker+"=1", "CUSTOM_UID=4711", "CUSTOM_GID=4712")
		return
	}
	var ready, done sync.WaitGroup
	stop := make(chan struct{})
	for range 8 { // threads that are there before
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-stop
		})
	}
	ready.Wait()
	defer done.Wait()
	defer close(stop)
	before := os.Geteuid()
	warnings, err := Drop(Input{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	if before != 0 {
		if os.Geteuid() != before || len(warnings) != 1 {
			t.Errorf("an ordinary user is another one now: %d; %q", os.Geteuid(), warnings)
		}
		return
	}
	want := []string{"Uid:\t4711\t4711\t4711\t4711", "Gid:\t4712\t4712\t4712\t4712", "Groups:\t4712", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 8 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(content)) {
			switch key, _, _ := strings.Cut(line, ":"); key {
			case "Uid", "Gid", "Groups", "CapEff", "CapPrm":
				got = append(got, strings.TrimSpace(line))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %q", task, got)
		}
		for _, line := range want {
			if !strings.Contains(strings.Join(got, "\n"), line) {
				t.Errorf("%s: %s", task, cmp.Diff(want, got))
			}
		}
	}
	for what, try := range map[string]func() error{
		"user root":  func() error { return syscall.Setuid(0) },
		"group root": func() error { return syscall.Setgid(0) },
		"the groups": func() error { return syscall.Setgroups([]int{0}) },
	} {
		if err := try(); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s can be had again: %v", what, err)
		}
	}
}

func TestOutsideOfTheImageRootStaysAsItIsUnlessItIsAsked(t *testing.T) {
	if os.Getenv(child) == "" {
		// UID is a variable of some shells: outside of the image it asks for nothing.
		passesAsRoot(t, Marker+"=", "UID=991", "CUSTOM_UID=", "CUSTOM_GID=")
		return
	}
	before := os.Geteuid()
	warnings, err := Drop(Input{LookupEnv: os.LookupEnv, Stores: []string{os.TempDir()}})
	if err != nil || len(warnings) != 0 || os.Geteuid() != before {
		t.Errorf("%d is %d now; %q, %v", before, os.Geteuid(), warnings, err)
	}
}

func TestInTheImageAnotherUsersStoreIsSaidToBeOne(t *testing.T) {
	if os.Geteuid() == 0 && os.Getenv(child) == "" { // root may write everywhere, and becomes somebody else before it looks
		passesAsRoot(t, Marker+"=1", "CUSTOM_UID=4711", "CUSTOM_GID=4711")
		return
	}
	if os.Geteuid() == 0 {
		if _, err := Drop(Input{LookupEnv: os.LookupEnv}); err != nil {
			t.Fatal(err)
		}
	}
	marked := environment(Marker, "1")
	for store, wanted := range map[string]bool{"/usr": true, os.TempDir(): false, "/nowhere": false} {
		warnings, err := Drop(Input{LookupEnv: marked, Stores: []string{store}})
		if said := len(warnings) == 1 && strings.Contains(warnings[0], store+" belongs to user 0") && strings.Contains(warnings[0], "--user 0:0"); err != nil || said != wanted {
			t.Errorf("%s: %q, %v", store, warnings, err)
		}
		if warnings, _ := Drop(Input{LookupEnv: environment(), Stores: []string{store}}); len(warnings) != 0 {
			t.Errorf("%s, and not in the image: %q", store, warnings)
		}
	}
}

func TestWhoeverStaysRootInTheImageIsWarned(t *testing.T) {
	if os.Getenv(child) == "" {
		passesAsRoot(t, Marker+"=1", "UID=0", "CUSTOM_UID=", "CUSTOM_GID=")
		return
	}
	before := os.Geteuid()
	warnings, err := Drop(Input{LookupEnv: os.LookupEnv})
	if err != nil || os.Geteuid() != before {
		t.Errorf("%d is %d now: %v", before, os.Geteuid(), err)
	}
	if warned := len(warnings) == 1 && strings.Contains(warnings[0], "running on as root, as UID says"); warned != (before == 0) {
		t.Errorf("as %d: %q", before, warnings)
	}
}

// Without the capabilities nothing can be given up, and root must not go on.
func TestRootWithoutTheCapabilitiesToChangeUserEnds(t *testing.T) {
	if os.Getenv(child) == "" {
		passesAsRoot(t, Marker+"=1", "CUSTOM_UID=4711", "CUSTOM_GID=4712")
		return
	}
	if os.Geteuid() != 0 {
		return
	}
	const again = child + "_AGAIN"
	if os.Getenv(again) == "" {
		startAgainWithoutCapabilities(t, again+"=1")
	}
	if _, err := Drop(Input{LookupEnv: os.LookupEnv}); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "SETGID") {
		t.Errorf("%v", err)
	}
}

func TestRootThatCouldBeHadAgainEnds(t *testing.T) {
	if os.Getenv(child) == "" {
		passesAsRoot(t, Marker+"=1", "CUSTOM_UID=4711", "CUSTOM_GID=4712")
		return
	}
	if os.Geteuid() != 0 {
		return
	}
	const again = child + "_AGAIN"
	if os.Getenv(again) == "" {
		startAgainKeepingCapabilities(t, again+"=1")
	}
	if _, err := Drop(Input{LookupEnv: os.LookupEnv}); !errors.Is(err, ErrRegained) {
		t.Errorf("%v", err)
	}
}
