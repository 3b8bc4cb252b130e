package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/sources"
	"synupkeep/stages"
)

func checkMediaStore(_ context.Context, e *exam) finding {
	const means = "No media can be deleted: a run is refused before it deletes anything."
	store, err := mediastore.Open(e.cfg.MediaStore)
	if err != nil {
		return finding{
			result: Failure, found: err.Error(), means: means, do: "Give --media-store the media_store_path of Synapse's homeserver.yaml, as this machine sees it.",
		}
	}
	trees := store.Trees()
	f := fine("%s, %s", store.Path(), treesOf(trees))
	f.learn = func(e *exam) { e.store = store }
	var refused, strange []string
	for _, tree := range trees {
		switch {
		case tree.Err != nil:
			refused = append(refused, tree.Err.Error())
		case tree.Exists && int(tree.Owner) != e.world.uid && e.world.uid != 0:
			strange = append(strange, fmt.Sprintf("%s belongs to uid %d", tree.Name, tree.Owner))
		}
	}
	const do = "Run synupkeep as the user that Synapse runs as (USER of its container, User= of its unit)."
	switch {
	case len(refused) > 0:
		f.result, f.means, f.do, f.details = Failure, means, do, refused
	case len(strange) > 0:
		f.result, f.do, f.details = Warning, do, strange
		f.means = fmt.Sprintf("We are uid %d and may write there, as a member of a group perhaps: what Synapse makes from now on may not be ours to delete.", e.world.uid)
	}
	return f
}

func treesOf(trees []mediastore.Tree) string {
	there, links := 0, []string{}
	for _, tree := range trees {
		if tree.Exists {
			there++
		}
		if tree.Link != "" {
			links = append(links, tree.Name+" is a link to "+tree.Link)
		}
	}
	text := fmt.Sprintf("with %d of its %d directories", there, len(trees))
	if there == 0 {
		text = "in which Synapse has not made any directory yet"
	}
	if len(links) > 0 {
		text += "; " + strings.Join(links, ", ")
	}
	return text
}

func checkMediaFiles(ctx context.Context, e *exam) finding {
	f := finding{result: OK}
	for _, flow := range e.diskFlows() {
		stored := sources.Stored{
			Sample: sources.Sample{DB: e.db.Reader, ServerName: e.serverName}, CutOff: e.cutOff(flow), ByBlocks: e.features.TIDRange,
			Look: func(m item.Media) (mediastore.Presence, error) { return stages.CheckStored(e.store, m) },
		}
		warning, err := stored.Sampled(ctx, flow)
		if err == nil {
			err = stored.Newest(ctx, flow)
		}
		var other *sources.StoreError
		switch {
		case errors.As(err, &other):
			f.result = Failure
			f.details = append(f.details, string(flow)+": "+err.Error())
		case err != nil:
			return unread(err)
		case warning != "":
			f.result = worse(f.result, Warning)
			f.details = append(f.details, warning)
		}
	}
	switch f.result {
	case Failure:
		f.found, f.means = "the files that the rows of the database speak of are not all here and ours to delete",
			"This is not the server's media store, or an old copy of it, or not ours: a run is refused before it deletes anything."
		f.do = "Give --media-store the media_store_path of this server, mounted here, and run as the user that Synapse runs as. Media that lies in S3 or " +
			"another storage provider alone cannot be deleted yet: --only history."
	case Warning:
		f.found, f.means = "some files are missing that the rows of the database speak of",
			"Nobody can look at that media any more. A run deletes its rows when they are old, and frees nothing by it."
		f.do = "If there is a backup of the media store, look whether it has them."
	case OK, NotChecked:
		return fine("a sample of the rows of %s has its files, and they are ours to delete", joined(e.diskFlows()))
	}
	return f
}

// cutOff is that of a flow; the zero time where no age is given.
func (e *exam) cutOff(f item.Flow) time.Time {
	age, given := e.cfg.Ages[f]
	if !given {
		return time.Time{}
	}
	return age.CutOff(e.now)
}

func worse(a, b Result) Result {
	if a == Failure || b == Failure {
		return Failure
	}
	if a == Warning || b == Warning {
		return Warning
	}
	return a
}

// checkProviders says what a run cannot reach.
func checkProviders(_ context.Context, e *exam) finding {
	var copies []string
	for _, p := range e.cfg.Synapse.Providers {
		where := p.Module
		switch {
		case p.S3 != nil:
			where = "S3 bucket " + p.S3.Bucket
		case p.Directory != "":
			where = "directory " + p.Directory
		}
		copies = append(copies, where)
	}
	if len(copies) == 0 {
		return fine("homeserver.yaml names none: all media is in the media store")
	}
	return finding{
		result: Warning, found: "Synapse keeps copies of media elsewhere as well", details: copies,
		means: "What a run deletes in the media store stays there: neither Synapse nor synupkeep deletes from a storage provider. Media of which only that copy " +
			"is left cannot be deleted at all.",
		do: "Let the provider expire old objects by itself (a lifecycle rule), with an age above that of --local-media-delta.",
	}
}

func checkMediaSpace(_ context.Context, e *exam) finding {
	s, err := e.world.space(e.store.Path())
	if err != nil {
		return finding{
			result: Warning, found: "the file system could not be asked: " + err.Error(), means: "How much is free there is not known.",
			do: "Look at the mount that the media store is on.",
		}
	}
	found := fmt.Sprintf("%s of %s free", humanize.IBytes(s.free), humanize.IBytes(s.size))
	if s.on != "" {
		found += " on " + s.on
	}
	if s.readOnly {
		return finding{
			result: Failure, found: found + ", which is mounted read-only", means: "No file can be deleted there: a run is refused.",
			do: "Mount it writable (in a container: without :ro).",
		}
	}
	if s.files > 0 && float64(s.filesFree) < e.limits.free*float64(s.files) {
		return finding{
			result: Warning, found: fmt.Sprintf("%d of %d inodes free; %s", s.filesFree, s.files, found),
			means: "When the last inode is used nobody can upload anything, however much space is free.",
			do:    "Delete media soon (synupkeep plan shows how much goes), or enlarge the file system.",
		}
	}
	if s.free < e.limits.freeBytes || float64(s.free) < e.limits.free*float64(s.size) {
		return finding{
			result: Warning, found: found, means: "When it is full nobody can upload anything, and no picture of another server can be seen.",
			do: "Delete media soon (synupkeep plan shows how much goes), or enlarge the file system.",
		}
	}
	return fine("%s", found)
}

func checkStateDirectory(_ context.Context, e *exam) finding {
	dir := e.cfg.StateDir
	if dir == "" {
		return fine("none is used: nothing is remembered between runs")
	}
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return e.checkParent(dir)
	}
	const means = "A run writes there which files are still to be deleted before it deletes a row: without that it is refused."
	switch {
	case err != nil:
		return finding{result: Failure, found: err.Error(), means: means, do: "Give a directory that is ours to write in: --state-dir."}
	case !info.IsDir():
		return finding{result: Failure, found: dir + " is not a directory", means: means, do: "Give a directory: --state-dir."}
	}
	if err := writable(dir); err != nil {
		return finding{
			result: Failure, found: fmt.Sprintf("we may not write in %s, which belongs to uid %d, as uid %d: %v", dir, ownerOf(info), e.world.uid, err),
			means: means, do: "Give it to the user that synupkeep runs as, or name another: --state-dir.",
		}
	}
	if info.Mode().Perm()&0o022 != 0 {
		return finding{
			result: Warning, found: fmt.Sprintf("others may write in %s (%v)", dir, info.Mode()),
			means: "Whoever writes there decides which files the next run finishes to delete, as far as no row names them.", do: "chmod go-w " + dir,
		}
	}
	return e.checkJournal(dir)
}
