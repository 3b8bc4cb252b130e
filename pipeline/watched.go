package pipeline

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/postgres"
	"synupkeep/sinks/progress"
	"synupkeep/sources"
	"synupkeep/stages"
)

// Watched is Run and Plan for who wants to see how far they are: the Board is told.
type Watched struct{ Board *progress.Board }

// Run is Run, watched.
func (w Watched) Run(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	r := newRun(cfg, log)
	r.board = w.Board
	return r.all(ctx, feed, stdout)
}

// Plan is Plan, watched.
func (w Watched) Plan(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	r := newPlanning(cfg, log)
	r.board = w.Board
	return r.all(ctx, feed, stdout)
}

const (
	// countTime is how long the rows that are to come are counted; without the number nothing is said of what is left.
	countTime = time.Minute
	// nameAfter is how long a room has to be in flight for its name to be looked up.
	nameAfter = 2 * time.Second
	// nameEvery is how often it is looked whether there is such a room.
	nameEvery = time.Second
)

// at is a step of which the board is told while it goes on.
func (r *run) at(doing string, step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		r.board.Phase(doing)
		return step(ctx)
	}
}

// watched tells the board that a flow begins and, by the function that it returns, that it has ended.
func (r *run) watched(ctx context.Context, f item.Flow) (end func(error)) {
	board := r.board.Flow(f)
	switch f {
	case item.History:
		board.Begin("looking for rooms with something to purge")
	case item.LocalMedia:
		board.Begin("reading which media is still shown")
	case item.RemoteMedia, item.Previews:
		board.Begin("")
	case item.Drift:
		board.Begin("comparing files and rows")
	}
	unlook := r.onlook(ctx, f)
	return func(err error) {
		unlook()
		board.End(err != nil)
	}
}

// listed tells the board how many rooms have work. What a limit leaves out of them is not known, nor is then the total.
func (r *run) listed(rooms []item.Room) []item.Room {
	board, h := r.board.Flow(item.History), r.cfg.History
	switch {
	case h.Limit > 0 && h.Limit < len(rooms):
	case h.RatePerMinute > 0: // the pace tells how long they take
		board.SetTotal(int64(len(rooms)))
	default:
		sizes := make([]int64, len(rooms))
		for i, room := range rooms {
			sizes[i] = room.Old
		}
		board.SetSizes(sizes, sources.MostOld)
	}
	board.At("")
	return rooms
}

// inFlight tells the board which rooms are being purged, and for how long. Until the server has been asked they wait.
func (r *run) inFlight(purge func(context.Context, item.Cut) (item.Outcome, error)) func(context.Context, item.Cut) (item.Outcome, error) {
	return func(ctx context.Context, cut item.Cut) (item.Outcome, error) {
		room := r.board.Flow(item.History).Enter(cut.RoomID, "")
		defer room.Leave()
		if cut.Pending == "" {
			room.Waits()
		}
		return purge(ctx, cut)
	}
}

// asking is a Purger that tells the board when the server is asked.
type asking struct {
	stages.Purger
	board *progress.Flow
}

// StartPurge implements stages.Purger.
func (a asking) StartPurge(ctx context.Context, roomID, upToEventID string) (purgeID string, err error) {
	a.board.Goes(roomID)
	return a.Purger.StartPurge(ctx, roomID, upToEventID)
}

// deletingRows tells the board which batch of rows is being deleted.
func (s mediaStages) deletingRows(rows *stages.DeleteRows) func(context.Context, []item.Media, func(stages.Deletion) error, func(item.Outcome) error) error {
	board := s.run.board.Flow(s.flow)
	return func(ctx context.Context, media []item.Media, gone func(stages.Deletion) error, rest func(item.Outcome) error) error {
		var batch *progress.InFlight
		leave := func() {
			if batch != nil {
				batch.Leave()
				batch = nil
			}
		}
		defer leave()
		batch = board.Enter("", fmt.Sprintf("deleting the rows of %s media", humanize.Comma(int64(len(media)))))
		// The rows are gone before the first of them is handed on.
		return rows.Do(ctx, media, func(d stages.Deletion) error { leave(); return gone(d) }, func(o item.Outcome) error { leave(); return rest(o) })
	}
}

// deletingFiles tells the board of how many media the files are being deleted.
func (s mediaStages) deletingFiles(files *stages.DeleteFiles) func(context.Context, stages.Deletion) (item.Outcome, error) {
	board := s.run.board.Flow(s.flow)
	return func(ctx context.Context, m stages.Deletion) (item.Outcome, error) {
		board.Files(1)
		defer board.Files(-1)
		return files.Do(ctx, m)
	}
}

// onlook does for people who look on what the flow itself has no use for, until the function that it returns is called: it
// counts what is to come, and looks up the names of what is in flight. That is done in a session of its own, by one flow
// after the other. Nothing is done before somebody looks, and what fails is not said.
func (r *run) onlook(ctx context.Context, f item.Flow) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-r.board.Looked():
		case <-ctx.Done():
			return
		}
		select {
		case r.onlooker <- struct{}{}:
			defer func() { <-r.onlooker }()
		case <-ctx.Done():
			return
		}
		db, err := postgres.Examine(ctx, r.cfg.Postgres.Reveal(), countTime)
		if err != nil {
			r.log.WithError(err).Debug("nothing is counted ahead")
			return
		}
		defer db.Close()
		if f == item.History {
			r.nameInFlight(ctx, db.Reader)
			return
		}
		r.countAhead(ctx, db.Reader, f)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// countAhead tells the board how many rows are to come. What a limit leaves out of them is not known.
func (r *run) countAhead(ctx context.Context, db postgres.Querier, f item.Flow) {
	count := map[item.Flow]func(context.Context) (int64, error){
		item.LocalMedia:  sources.LocalMedia{DB: db, CutOff: r.cutOffs[f]}.Count,
		item.RemoteMedia: sources.RemoteMedia{DB: db, CutOff: r.cutOffs[f]}.Count,
		item.Previews:    sources.Previews{DB: db, CutOff: r.cutOffs[f]}.Count,
	}[f]
	if count == nil {
		return // of drift nobody knows before
	}
	board := r.board.Flow(f)
	gone := board.Done()
	rows, err := count(ctx)
	if err != nil {
		r.log.WithError(err).Debug("nothing is counted ahead")
		return
	}
	if limit := int64(r.cfg.Media.Limit); limit == 0 || rows <= limit {
		board.SetTotal(gone + rows)
	}
}

// nameInFlight looks up what people call the rooms that take long.
func (r *run) nameInFlight(ctx context.Context, db postgres.Querier) {
	board := r.board.Flow(item.History)
	tick := time.NewTicker(nameEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ids := board.Nameless(nameAfter)
		if len(ids) == 0 {
			continue
		}
		rooms, err := sources.NameRooms(ctx, db, ids)
		if err != nil {
			r.log.WithError(err).Debug("the names of rooms in flight are not known")
			return
		}
		names := make(map[string]progress.Names, len(rooms))
		for id, room := range rooms {
			names[id] = progress.Names{Name: room.Name, Alias: room.Alias}
		}
		board.Name(names)
	}
}
