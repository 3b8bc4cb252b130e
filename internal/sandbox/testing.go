package sandbox

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// shared is the server of this test binary.
var shared struct { //nolint:gochecknoglobals // TestMain ends what Shared started; nothing else connects the two
	sync.Mutex
	server *Server
	err    error
}

// TestMain runs the tests and then stops the server that [Shared] started, if it did:
//
//	func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }
func TestMain(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
			code = max(code, 1)
		}
		shared.server = nil
	}
	return code
}

// Needs skips a test that has no meaning on a Synapse before the given release, and says why. On the newest it never
// skips: a release that does not exist fails the test there.
func Needs(t testing.TB, release, why string) {
	t.Helper()
	if lacks, err := lacking(release); err != nil {
		t.Fatal(err)
	} else if lacks {
		t.Skipf("needs Synapse %s: %s", release, why)
	}
}

// lacking says whether the chosen Synapse is older than a release, which must not be newer than all.
func lacking(release string) (bool, error) {
	v, err := Options{}.choose()
	if err == nil && before(newest(), release) {
		err = fmt.Errorf("nothing here has what came with Synapse %s: the newest is %s", release, newest())
	}
	return err == nil && before(v.synapse, release), err
}

// Shared returns the one server of the package's tests and starts it on first use. The test fails when it cannot start.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		// Not the test's context: the server outlives the test. Ten minutes are for an installation.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		shared.server, shared.err = Start(ctx, Options{Log: os.Stderr})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Own starts a server for one test and stops it with the test, which fails when it cannot start. A test that counts what
// is on the whole server needs one: in what [Shared] returns, other tests have been before.
func Own(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}
