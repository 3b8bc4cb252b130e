package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sinks"
	"synupkeep/sinks/page"
	"synupkeep/sources"
)

// stockTime is how long reading how much there is may take. It reads the tables of media once.
const stockTime = 2 * time.Minute

// paged is the page of --html, and what only the page tells: how much there is before and after. It decides nothing.
type paged struct {
	file *page.File // nil: nobody asked for it

	mu            sync.Mutex // a run that was given up may still be reading
	before, after *page.Stock
}

func (r *run) createPage() (err error) {
	if r.cfg.HTML != "" {
		r.paged.file, err = page.Create(r.cfg.HTML)
	}
	return err
}

// stockBefore reads how much there is before the first delete.
func (r *run) stockBefore() {
	if r.paged.file == nil || r.stopped() {
		return
	}
	r.board.Phase("reading how much there is, for the page")
	stock := r.takeStock()
	r.paged.mu.Lock()
	defer r.paged.mu.Unlock()
	r.paged.before = stock
}

// stockAfter reads how much is left. A run that was told to stop does not keep anybody waiting for that: the page has what
// was before, and what was deleted.
func (r *run) stockAfter() {
	if r.paged.file == nil || r.stopped() {
		return
	}
	r.board.Phase("reading how much is left, for the page")
	stock := r.takeStock()
	r.paged.mu.Lock()
	defer r.paged.mu.Unlock()
	r.paged.after = stock
}

// takeStock is nil where it could not be read: then the page says less, and nothing else.
func (r *run) takeStock() *page.Stock {
	ctx, cancel := context.WithTimeoutCause(r.feed, stockTime, fmt.Errorf("it took more than %v", stockTime))
	defer cancel()
	// Ages are counted from the same time before and after, so that what only became older does not look like more.
	stock := &page.Stock{Read: r.now}
	var err error
	space := sources.Space{DB: r.db.Reader, Now: r.now, Retry: r.retry}
	if stock.Curves, err = space.AgeCurves(ctx, item.Flows()); err != nil {
		if !r.stopped() {
			r.looked.warn(fmt.Sprintf("how much there is could not be read, the page does not tell: %v", err))
		}
		return nil
	}
	if r.store != nil {
		if stock.Free, stock.Space, err = r.store.Space(); err != nil {
			r.log.WithError(err).Debug("the free space is not known")
			stock.Free, stock.Space = 0, 0
		}
	}
	return stock
}

// tellPage writes the page.
func (r *run) tellPage(s *sinks.Summary) {
	p := r.paged
	if p.file == nil {
		return
	}
	p.mu.Lock()
	told := page.Page{Summary: *s, Before: p.before, After: p.after}
	p.mu.Unlock()
	if err := p.file.Write(told); err != nil {
		s.AddError(err)
		r.log.WithError(err).Error("the page could not be written")
	}
}
