package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/logging"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
	"synupkeep/sinks"
	"synupkeep/sinks/progress"
)

const (
	// pageSize is how many rows a query of a source reads.
	pageSize = 1000
	// defaultGrace is how long running purges are waited for once a run has been told to stop.
	defaultGrace = 30 * time.Second
	// defaultPatience is how long what is under way may take to end once everything is to stop at once. A transaction and
	// a question to the lock have 10 seconds.
	defaultPatience = 15 * time.Second
	// lockInterval is how often the lock is checked to be ours.
	lockInterval = 15 * time.Second
)

// run is one run: what was found out before the first delete, and where its outcomes end.
type run struct {
	cfg  *config.Config
	log  *logging.Logger
	feed context.Context //nolint:containedctx // the soft one of the two contexts of a run
	stop context.CancelCauseFunc

	db    *postgres.DB
	lock  *postgres.Lock
	api   *synapse.Client
	store *mediastore.Store
	media *mediaAPI

	journal *journal.Journal

	tally    *sinks.Tally
	board    *progress.Board
	onlooker chan struct{} // held by the flow that does something for people who look on
	plan     *plan         // set while it is being made; then nothing acts
	approved *approved     // the plan that is carried out, or nil
	looked   *looked       // what was looked up at the end
	files    files         // where a run is told of beside stdout and log
	paged    *paged        // the page of --html
	ceilings []*ceiling    // of --max-rooms and the like
	retry    retry.Policy

	grace    time.Duration // how long running purges are waited for after a soft stop
	patience time.Duration // how long what is under way is waited for after a hard one
	budget   *time.Timer   // of --max-duration
	prepared chan struct{} // closed when what was found out about the server does not change any more
	// abandoned says that something did not end after a hard stop, and may still be at work.
	abandoned bool

	localClock    func() time.Time // compared with the database's, and used for nothing that decides
	now           time.Time        // the database's clock at the begin
	nowRead       time.Time        // when that was, for how long it is ago
	cutOffs       map[item.Flow]time.Time
	features      synapse.Features
	version       synapse.Version
	serverVersion string
	serverName    string
	onlyRooms     []string
	neverRooms    []string
	warnings      []string
}

// Run does the whole run and reports it: the table or JSON on stdout, the report file, the log. It returns why its exit
// code should be other than 0.
//
// feed is the soft context: when it is done no new work is begun and what runs is finished. When ctx is done everything
// stops at once. The cause of either is an *item.RunError.
func Run(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	return newRun(cfg, log).all(ctx, feed, stdout)
}

func newRun(cfg *config.Config, log *logging.Logger) *run {
	tally := sinks.NewTally(cfg.Flows)
	tally.Redact, tally.Top = log.Redact, cfg.Top
	return &run{
		cfg: cfg, log: log, tally: tally, board: progress.New(), onlooker: make(chan struct{}, 1), looked: &looked{}, paged: &paged{}, cutOffs: map[item.Flow]time.Time{},
		retry: retry.Policy{For: cfg.RetryFor}, grace: defaultGrace, patience: defaultPatience, prepared: make(chan struct{}),
		localClock: time.Now, media: newMediaAPI(),
	}
}

func (r *run) all(ctx, feed context.Context, stdout io.Writer) []item.Cause {
	started := time.Now()
	r.feed, r.stop = context.WithCancelCause(feed)
	defer r.stop(nil)
	r.budget = r.startBudget()
	defer r.budget.Stop()
	ctx, release := r.endAfterGrace(ctx)
	defer release()
	watching := r.board.Watch(string(r.cfg.Command), r.cfg.Flows, r.log)
	defer watching.End()
	defer context.AfterFunc(r.feed, func() { watching.Stopping(context.Cause(r.feed)) })()

	ping := r.startPing(ctx)
	err := r.createFiles(r.feed, started)
	if err == nil {
		err = r.bounded(ctx)
	}
	err = errors.Join(err, r.endOutcomes())
	watching.Clear()
	summary := r.tell(r.summary(started, errors.Join(err, causeOf(feed), causeOf(ctx))), stdout)
	ping.end(ctx, summary)
	return summary.Causes
}

func (r *run) do(ctx context.Context) error {
	defer r.close(ctx)
	if r.plan != nil {
		return r.make(ctx)
	}
	watched, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer unwatch()
	// From the moment that it is taken: a database that falls silent is noticed by nothing else before the first delete.
	if err := r.prepare(func() { watch.Go(func() { r.watchLock(watched) }) }); err != nil {
		return err
	}
	close(r.prepared)
	err := r.refuseIfTooLarge(ctx)
	if err == nil {
		r.stockBefore()
		r.board.Phase("finishing what an earlier run began")
		err = r.finish(ctx)
	}
	if err == nil {
		r.board.Phase("")
		err = r.flows(ctx)
		r.board.Phase("looking up what the rooms are called")
		r.nameRooms(ctx)
		r.stockAfter()
	}
	r.board.Phase("looking whether the lock was ours to the end")
	r.budget.Stop() // from now on there is nothing that it could end
	unwatch()
	watch.Wait()
	// A run that is shorter than the interval, or the rest of a longer one, must not have been without the lock unnoticed.
	return errors.Join(err, r.held(ctx))
}

// flows does history first, then drift, then the others side by side: what media a purged message showed can only be told
// when the message is gone. A flow that fails does not stop the others.
func (r *run) flows(ctx context.Context) error {
	var failures []error
	if slices.Contains(r.cfg.Flows, item.History) {
		err := r.flow(ctx, item.History)
		failures = append(failures, err)
		var known *item.RunError
		if errors.As(err, &known) && known.Cause == item.CauseToken {
			r.stop(known) // whoever took the token back may have meant all of it
		} else if known != nil && known.Cause == item.CauseRefused {
			r.stop(known) // what is wrong with the database is wrong for its media as well
		}
	}
	if r.has(item.Drift) { // before the others: what they are at would be drift for the moment
		failures = append(failures, r.flow(ctx, item.Drift))
	}
	var together sync.WaitGroup
	var mu sync.Mutex
	for _, f := range r.cfg.Flows {
		if f == item.History || f == item.Drift {
			continue
		}
		together.Go(func() {
			err := r.flow(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
		})
	}
	together.Wait()
	return errors.Join(failures...)
}

func (r *run) flow(ctx context.Context, f item.Flow) error {
	if r.stopped() {
		return nil // what stopped the run is reported once, for the whole of it
	}
	log := r.log.With(map[string]any{"flow": f, "cut_off": r.cutOffs[f].Format(time.RFC3339)})
	log.Info("flow begins")
	r.tally.Begin(f, time.Now())
	r.approved.begins(f)
	unwatch := r.watched(ctx, f)
	err := r.wiring(f)(ctx)
	unwatch(err)
	r.tally.End(f, time.Now(), err)
	if err != nil {
		log.WithError(err).Error("flow ended early")
	} else {
		r.ended(f)
	}
	return err
}

func (r *run) wiring(f item.Flow) func(context.Context) error {
	viaAPI := r.cfg.Media.Via == config.ViaAPI
	switch f {
	case item.History:
		return r.history
	case item.LocalMedia:
		if viaAPI {
			return r.localMediaAPI
		}
		return r.localMedia
	case item.RemoteMedia:
		if viaAPI {
			return r.remoteMediaAPI
		}
		return r.remoteMedia
	case item.Previews:
		return r.previews
	case item.Drift:
		return r.drift
	}
	return func(context.Context) error { return fmt.Errorf("there is no flow %q", f) }
}

// stopped says whether the whole run has been told to stop.
func (r *run) stopped() bool { return r.feed.Err() != nil }

// watchLock stops the run when another one could begin.
func (r *run) watchLock(ctx context.Context) {
	if err := r.lock.Watch(ctx, lockInterval); err != nil {
		_ = r.lost(err) // it is the run's now
	}
}

// held stops the run when another one could begin.
func (r *run) held(ctx context.Context) error {
	if err := r.lock.Check(ctx); err != nil {
		return r.lost(err)
	}
	return nil
}

func (r *run) lost(err error) error {
	lost := &item.RunError{
		Cause: item.CauseFailed, Doing: "hold the lock", Err: err,
		Hint: "Nothing new was begun from then on. Was PostgreSQL restarted? The next run goes on.",
	}
	r.stop(lost)
	return lost
}

func (r *run) close(ctx context.Context) {
	if r.lock != nil {
		r.lock.Release(context.WithoutCancel(ctx))
	}
	if r.api != nil {
		r.api.Close()
	}
	if r.journal != nil {
		if err := r.journal.Close(); err != nil {
			r.log.WithError(err).Warn("close the journal")
		}
	}
	if r.store != nil {
		if err := r.store.Close(); err != nil {
			r.log.WithError(err).Warn("close the media store")
		}
	}
	if r.db != nil {
		r.db.Close()
	}
}
