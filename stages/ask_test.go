package stages

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

// errAway is what a database that is not there gives.
var errAway = fmt.Errorf("conn: %w", net.ErrClosed)

func reset() error { return &synapse.TransportError{Err: errors.New("connection reset by peer")} }

func status(code int) error { return &synapse.Error{Status: code, Foreign: true} }

func refusal(code int, errcode string) error { return &synapse.Error{Status: code, Code: errcode} }

// script answers the POSTs one after the other, the last one for ever.
func script(answers ...func() (bool, error)) func(int, post) (bool, error) {
	return func(n int, _ post) (bool, error) { return answers[min(n, len(answers))-1]() }
}

func ok() (bool, error) { return true, nil }

func refused(err error) func() (bool, error) { return func() (bool, error) { return false, err } }

func TestAmbiguousPost(t *testing.T) {
	for name, failure := range map[string]error{
		"reset": reset(), "502": status(502), "504": status(504), "500": refusal(500, "M_UNKNOWN"), "not JSON": status(200),
	} {
		for _, made := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, a task was made: %v", name, made), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					r.server.onPost = script(func() (bool, error) { return made, failure }, ok)
					out := r.do(t, r.cut("!r"))
					if n := len(r.server.tasks); n > 1 {
						t.Fatalf("the room was purged %d times", n)
					}
					if !made && name == "not JSON" { // no later try would read better
						if out.Status != item.Failed || len(r.server.posts) != 1 {
							t.Errorf("%+v, %d posts", out, len(r.server.posts))
						}
						r.idle(t, 1)
						return
					}
					wantPosts := 2
					if made {
						wantPosts = 1
					}
					if out.Status != item.Done || out.Rows != 60 || out.PurgeID != "task1" || len(r.server.posts) != wantPosts {
						t.Errorf("%+v, %d posts", out, len(r.server.posts))
					}
					r.idle(t, 1)
				})
			})
		}
	}
}

// Each try may have been the one: the task is looked for before every further one, and after the last.
func TestServerThatAcceptsAndNeverSaysSo(t *testing.T) {
	for _, at := range []int{1, 3, 1000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.server.takes = 5 * time.Minute
			away := time.Now().Add(2 * time.Minute)
			r.server.onPost = func(n int, _ post) (bool, error) {
				return n == at || at == 1000 && time.Until(away) < 22*time.Second && len(r.server.tasks) == 0, reset()
			}
			out := r.do(t, r.cut("!r"))
			if out.Status != item.Done || len(r.server.tasks) != 1 || out.PurgeID != "task1" {
				t.Errorf("accepted at %d: %+v, %d tasks, %d posts", at, out, len(r.server.tasks), len(r.server.posts))
			}
			r.idle(t, 1)
		})
	}
}

func TestPurgeThatMayHaveBegunIsSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onPost = func(int, post) (bool, error) {
			r.server.onDB = func() error { return errors.New("permission denied") }
			return true, status(200)
		}
		out := r.do(t, r.cut("!r"))
		if out.Status != item.Failed || !strings.Contains(out.Err.Error(), "may have begun all the same") {
			t.Errorf("%+v", out)
		}
		r.idle(t, 1)
	})
}

// A purge of the same room that somebody asked for long before is not ours.
func TestOlderPurgeIsNotTakenForOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.add("purge_history", "!r", time.Second)
		r.server.add("purge_history", "!other", 0)
		_ = sleep(t.Context(), 5*time.Minute)
		r.server.onPost = script(refused(reset()), ok)
		if out := r.do(t, r.cut("!r")); out.Status != item.Done || out.PurgeID != "task3" || out.Tries != 2 {
			t.Errorf("%+v", out)
		}
	})
}

// TestAPurgeThatEndedAMomentAgoIsNotTakenForOurs: its cut was another, and what ours would have purged is still there. Our
// own one, of which the server never told, is found beside it.
func TestAPurgeThatEndedAMomentAgoIsNotTakenForOurs(t *testing.T) {
	for name, before := range map[string]func(*rig) item.Cut{
		"adopted": func(r *rig) item.Cut {
			r.server.add("purge_history", "!r", time.Second)
			return item.Cut{RoomID: "!r", Pending: r.server.add("purge_history", "!r", time.Minute).id}
		},
		"another run's": func(r *rig) item.Cut {
			r.server.add("purge_history", "!r", time.Second)
			r.server.add("purge_history", "!r", 10*time.Second)
			time.Sleep(20 * time.Second)
			return r.cut("!r")
		},
		"an admin's, still under way": func(r *rig) item.Cut {
			r.server.add("purge_history", "!r", time.Hour)
			r.server.add("purge_history", "!r", time.Second)
			return r.cut("!r")
		},
	} {
		for _, made := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, a task was made: %v", name, made), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					cut := before(r)
					r.server.onPost = script(func() (bool, error) { return made, reset() }, ok)
					posts := 2
					if made {
						posts = 1
					}
					out := r.do(t, cut)
					if out.Status != item.Done || out.PurgeID != "task3" || len(r.server.tasks) != 3 || len(r.server.posts) != posts {
						t.Errorf("%+v, %d tasks, %d posts", out, len(r.server.tasks), len(r.server.posts))
					}
					r.idle(t, 1)
				})
			})
		}
	}
}

func TestEventThatIsGoneMeansANewCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onPost = script(refused(refusal(404, "M_NOT_FOUND")), ok)
		out := r.do(t, r.cut("!r"))
		if out.Status != item.Done || len(r.server.posts) != 2 || len(r.db.takes) != 1 {
			t.Fatalf("%+v, %d posts, %d takes", out, len(r.server.posts), len(r.db.takes))
		}
		if r.server.posts[0].event != "$first" || r.server.posts[1].event != "$cut1" {
			t.Errorf("posts %+v", r.server.posts)
		}
		r.idle(t, 1)
	})
}

func TestEventThatIsGoneTwiceFailsTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onPost = script(refused(refusal(404, "M_NOT_FOUND")))
		out := r.do(t, r.cut("!r"))
		if out.Status != item.Failed || len(r.server.posts) != 2 || len(r.db.takes) != 1 || r.flow.Stopping() {
			t.Errorf("%+v, %d posts, %d takes, %v", out, len(r.server.posts), len(r.db.takes), r.flow.Cause())
		}
		r.idle(t, 0) // nothing was purged
	})
}

func TestNothingToPurgeAfterTheSecondLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.db.found = func(int, string) found { return found{reason: item.Redaction, hasExtremities: true} }
		cut := r.cut("!r")
		cut.TakenAt = time.Now().Add(-time.Minute)
		out := r.do(t, cut)
		if out.Status != item.Kept || out.Reason != item.Redaction || len(r.server.posts) != 0 {
			t.Errorf("%+v, %d posts", out, len(r.server.posts))
		}
		r.idle(t, 0)
	})
}

func TestStaleCutIsTakenAnew(t *testing.T) {
	for _, age := range []time.Duration{freshness - time.Second, freshness, freshness + time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			cut := r.cut("!r")
			_ = sleep(t.Context(), age)
			out := r.do(t, cut)
			stale := age > freshness
			if out.Status != item.Done || (len(r.db.takes) == 1) != stale || (r.server.posts[0].event == "$cut1") != stale {
				t.Errorf("%v old: %+v, %d takes, posts %+v", age, out, len(r.db.takes), r.server.posts)
			}
		})
	}
}

// However long the gate and the retries take, no POST names a cut older than freshness.
func TestNoPostWithAStaleCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		taken := map[string]time.Time{"$first": time.Now()}
		r.db.found = func(n int, _ string) found {
			taken[fmt.Sprintf("$cut%d", n)] = time.Now()
			return found{reason: item.YoungEvent, depth: 9, hasExtremities: true, eventID: fmt.Sprintf("$cut%d", n), messages: 60}
		}
		r.server.onPost = func(n int, p post) (bool, error) {
			if age := p.at.Sub(taken[p.event]); age > freshness {
				t.Errorf("post %d with a cut of %v", n, age)
			}
			if n < 12 {
				return false, status(502)
			}
			return true, nil
		}
		if out := r.do(t, r.cut("!r")); out.Status != item.Done || len(r.db.takes) < 2 {
			t.Errorf("%+v, %d takes", out, len(r.db.takes))
		}
	})
}

func TestServerThatIsAwayEndsTheFlow(t *testing.T) {
	for name, failure := range map[string]error{"reset": reset(), "502": status(502), "429": refusal(429, "M_LIMIT_EXCEEDED")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.onPost = script(refused(failure))
				out := r.do(t, r.cut("!r"))
				if out.Status != item.Failed || len(r.server.posts) < 5 || out.Tries != len(r.server.posts) {
					t.Errorf("%+v, %d posts", out, len(r.server.posts))
				}
				if hint := r.flow.stopped(t, item.CauseFailed); hint == "" {
					t.Error("no hint")
				}
				used := int64(1) // whether a purge was begun is not known
				if name == "429" {
					used = 0
				}
				r.idle(t, used)
				if out := r.do(t, r.cut("!next")); out.Status != item.Left || out.Reason != item.Stopped {
					t.Errorf("the next room: %+v", out)
				}
			})
		})
	}
}

func TestServerThatComesBackIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		back := time.Now().Add(time.Minute)
		r.server.onPost = func(int, post) (bool, error) {
			if time.Now().Before(back) {
				return false, status(502)
			}
			return true, nil
		}
		if out := r.do(t, r.cut("!r")); out.Status != item.Done || r.flow.Stopping() {
			t.Errorf("%+v, %v", out, r.flow.Cause())
		}
	})
}

func TestRefusedTokenEndsTheFlow(t *testing.T) {
	for _, failure := range []error{refusal(401, "M_UNKNOWN_TOKEN"), refusal(403, "M_FORBIDDEN")} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.server.onPost = script(refused(failure))
			out := r.do(t, r.cut("!r"))
			if out.Status != item.Failed || len(r.server.posts) != 1 {
				t.Errorf("%+v, %d posts", out, len(r.server.posts))
			}
			if hint := r.flow.stopped(t, item.CauseToken); hint == "" {
				t.Error("no hint")
			}
			r.idle(t, 0)
		})
	}
}

// What Synapse says of one room is of that room; what does not come from its admin API is of the server.
func TestRefusedRoomDoesNotStopTheOthers(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		rooms   int // after so many the flow stops; 0 for never
	}{
		"400": {refusal(400, "M_UNKNOWN"), 0}, "500": {refusal(500, "M_UNKNOWN"), 0}, "404": {refusal(404, "M_NOT_FOUND"), 0},
		"404 of a proxy": {status(404), 3}, "a worker": {refusal(404, "M_UNRECOGNIZED"), 3}, "moved": {status(301), 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.onPost = script(refused(test.failure))
				for i := 1; i <= 10; i++ {
					want := item.Failed
					if test.rooms > 0 && i > test.rooms {
						want = item.Left
					}
					if out := r.do(t, r.cut(fmt.Sprintf("!%d", i))); out.Status != want {
						t.Errorf("room %d: %+v", i, out)
					}
				}
				if test.rooms > 0 {
					r.flow.stopped(t, item.CauseFailed)
				} else if r.flow.Stopping() {
					t.Errorf("stopped: %v", r.flow.Cause())
				}
			})
		})
	}
}

func TestProxyThatDislikesSomeRoomsDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onPost = func(n int, _ post) (bool, error) {
			if n%3 != 0 {
				return false, status(404)
			}
			return true, nil
		}
		for i := range 12 {
			r.do(t, r.cut(fmt.Sprintf("!%d", i)))
		}
		if r.flow.Stopping() || len(r.server.tasks) != 4 {
			t.Errorf("%v, %d purges", r.flow.Cause(), len(r.server.tasks))
		}
	})
}

func TestDatabaseThatIsAwayIsWaitedForThenEndsTheFlow(t *testing.T) {
	for _, back := range []time.Duration{time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			began := time.Now()
			posted := false
			r.purge.Now = func(context.Context) (time.Time, error) { // after the gate has asked
				if time.Since(began) < back {
					return time.Time{}, errAway
				}
				posted = true
				return time.Now(), nil
			}
			out := r.do(t, r.cut("!r"))
			if back < time.Hour {
				if out.Status != item.Done || r.flow.Stopping() {
					t.Errorf("%+v, %v", out, r.flow.Cause())
				}
				return
			}
			if hint := r.flow.stopped(t, item.CauseFailed); !strings.Contains(hint, "PostgreSQL") {
				t.Errorf("hint %q", hint)
			}
			if out.Status != item.Failed || posted || len(r.server.posts) != 0 {
				t.Errorf("%+v", out)
			}
			r.idle(t, 0)
		})
	}
}

// A signal that comes while the server is away: nothing is begun any more, what was not is left.
func TestNothingIsAskedOnceTheFlowStops(t *testing.T) {
	for _, made := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.server.onPost = func(int, post) (bool, error) {
				r.flow.StopFeeding(errors.New("terminated"))
				return made, reset()
			}
			out := r.do(t, r.cut("!r"))
			want, used := item.Left, int64(0)
			if made {
				want, used = item.Done, 1
			}
			if out.Status != want || len(r.server.posts) != 1 {
				t.Errorf("a task was made: %v: %+v, %d posts", made, out, len(r.server.posts))
			}
			r.idle(t, used)
		})
	}
}

// What was asked for when everything stops at once is still named.
func TestHardStopDuringAPost(t *testing.T) {
	for name, answer := range map[string]error{"the answer comes": nil, "the answer is lost": reset()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.takes = time.Hour
				ctx, cancel := context.WithCancel(t.Context())
				r.server.later = answerGrace / 2
				r.server.onPost = func(int, post) (bool, error) { return true, answer }
				time.AfterFunc(answerGrace/4, cancel)
				out, err := r.takeAndPurge(ctx, r.cut("!r"))
				if err != nil || out.Status != item.Left || out.Reason != item.Stopped || out.PurgeID != "task1" || len(r.server.posts) != 1 {
					t.Errorf("%+v, %v, %d posts", out, err, len(r.server.posts))
				}
				r.idle(t, 1)
			})
		})
	}
}

func TestNoPurgeIsAskedForWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		lost := &item.RunError{Cause: item.CauseFailed, Doing: "hold the lock", Err: errors.New("lost")}
		r.purge.Held = func(context.Context) error { return lost }
		out := r.do(t, r.cut("!r"))
		if out.Status != item.Left || out.Reason != item.Stopped || len(r.server.posts) != 0 || !errors.Is(r.flow.Cause(), lost) {
			t.Errorf("%+v, %d posts, %v", out, len(r.server.posts), r.flow.Cause())
		}
		r.idle(t, 0)
	})
}

func TestHardStopBetweenCutAndPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		ctx, cancel := context.WithCancel(t.Context())
		r.db.found = func(int, string) found {
			cancel()
			return found{reason: item.YoungEvent, depth: 9, hasExtremities: true, eventID: "$e", messages: 60}
		}
		cut := r.cut("!r")
		cut.TakenAt = time.Now().Add(-time.Minute)
		out, err := r.takeAndPurge(ctx, cut)
		if err != nil || out.Status != item.Left || out.Reason != item.Stopped || out.PurgeID != "" || len(r.server.posts) != 0 {
			t.Errorf("%+v, %v, %d posts", out, err, len(r.server.posts))
		}
		r.idle(t, 0)
	})
}

// TestNoPurgeIsAskedForTwice: the one of a run that was killed may come to the server's list after this room was looked at.
func TestNoPurgeIsAskedForTwice(t *testing.T) {
	nothing := func(int, string) found {
		return found{reason: item.YoungEvent, depth: 9, hasExtremities: true, eventID: "$nine"}
	}
	for name, test := range map[string]struct {
		takes, later time.Duration
		status       item.Status
		purge        string
	}{
		"it is under way":        {time.Minute, 0, item.Done, "task1"},
		"it has ended meanwhile": {time.Second, 2 * time.Second, item.Kept, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				cut := r.cut("!r")
				r.server.add("purge_history", "!r", test.takes)
				time.Sleep(test.later)
				r.db.found = nothing
				out := r.do(t, cut)
				if out.Status != test.status || out.PurgeID != test.purge || len(r.server.posts) != 0 {
					t.Errorf("%+v, %d posts", out, len(r.server.posts))
				}
				r.idle(t, 0)
			})
		})
	}
}
