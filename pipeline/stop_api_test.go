package pipeline

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
)

// TestAStopDuringACallOfTheMediaAPI: after a signal the call under way is finished and no other made; after a second one it
// is not waited for, and named when the server may still be at it.
func TestAStopDuringACallOfTheMediaAPI(t *testing.T) {
	for name, test := range map[string]struct {
		flow item.Flow
		hard bool
	}{
		"local, softly": {item.LocalMedia, false}, "remote, softly": {item.RemoteMedia, false},
		"local, hard": {item.LocalMedia, true}, "remote, hard": {item.RemoteMedia, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			for i := range 4 {
				upload(t, s, "alice", longAgo+time.Duration(i)*time.Hour)
			}
			seen(t, s, longAgo+4*time.Hour, longAgo+3*time.Hour, longAgo+2*time.Hour, longAgo+time.Hour)
			f, cfg := through(t, s, test.flow)
			stop := newStops(t)
			f.on = func(n int) reaction {
				if n != 2 {
					return reaction{}
				}
				stop.first()
				if test.hard {
					stop.second()
					return reaction{status: http.StatusGatewayTimeout, forward: true, slow: 3 * time.Second}
				}
				return reaction{}
			}
			r := doStopped(t, cfg, stop, time.Minute, func(string) {})
			addsUp(t, r)
			sum := r.flow(t, test.flow)
			want := int64(2)
			if test.hard {
				want = 1
			}
			if sum.Done != want || sum.Failed != 0 || len(f.asked()) != 2 || r.summary.ExitCode != 143 && r.summary.ExitCode != 130 {
				t.Errorf("exit code %d, %d calls, %+v", r.summary.ExitCode, len(f.asked()), sum)
			}
			if named := strings.Contains(strings.Join(r.summary.Warnings, " "), "may still be deleting"); named != test.hard {
				t.Errorf("warnings %q", r.summary.Warnings)
			}
			f.work.Wait()
			again := do(t, cfg)
			wantCauses(t, again)
			table := map[item.Flow]string{item.LocalMedia: "local_media_repository", item.RemoteMedia: "remote_media_cache"}[test.flow]
			if left := stock.All[int](t, s, `SELECT count(*)::int FROM `+table)[0]; left != 0 {
				t.Errorf("%d are left after the next run", left)
			}
		})
	}
}
