package sources

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
)

// Snapshots begins transactions that read.
type Snapshots interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// newSpool opens a file without a name in the first directory that takes one, so that nothing stays behind whatever becomes of
// us. The last resort is the directory of the system for temporary files.
func newSpool(dirs []string) (*os.File, error) {
	for _, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err == nil {
			return os.NewFile(uintptr(fd), filepath.Join(dir, "rows")), nil
		}
	}
	root, err := os.OpenRoot(os.TempDir())
	if err != nil {
		return nil, fmt.Errorf("make a file for the rows: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was changed through it that could still fail
	name := ".synupkeep-rows." + rand.Text() + ".tmp"
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file for the rows: %w", err)
	}
	if err := root.Remove(name); err != nil {
		return nil, errors.Join(fmt.Errorf("make a file for the rows: %w", err), file.Close())
	}
	return file, nil
}

// rowsOf is the query of the rows of a pass in byte order of the keys that their paths hold. A row without an id names no
// media. What the database sorts by is written out: its own collation may be another one.
func rowsOf(pass mediastore.Pass) string {
	const previews = ` FROM local_media_repository WHERE url_cache IS NOT NULL AND media_id IS NOT NULL AND media_id `
	const dated = `'^[0-9]{4}-[0-9]{2}-[0-9]{2}'`
	switch pass {
	case mediastore.LocalPass:
		return `SELECT '', media_id, '', media_length IS NULL FROM local_media_repository
			WHERE url_cache IS NULL AND media_id IS NOT NULL ORDER BY media_id COLLATE "C"`
	case mediastore.RemotePass:
		return `SELECT media_origin, COALESCE(filesystem_id, ''), media_id, false FROM remote_media_cache
			WHERE media_origin IS NOT NULL AND media_id IS NOT NULL
			ORDER BY media_origin COLLATE "C", COALESCE(filesystem_id, '') COLLATE "C"`
	case mediastore.PreviewPass: // the eleventh character is not in the path
		return `SELECT '', left(media_id, 10) || substr(media_id, 12), media_id, false` + previews + `~ ` + dated + `
			ORDER BY (left(media_id, 10) || substr(media_id, 12)) COLLATE "C"`
	case mediastore.OldPreviewPass:
		return `SELECT '', media_id, '', false` + previews + `!~ ` + dated + ` ORDER BY media_id COLLATE "C"`
	}
	return ""
}

// spool has PostgreSQL sort the rows of a pass once and writes them to a file: no cursor and no transaction stays open while
// the files are walked.
func (d Drift) spool(ctx context.Context, pass mediastore.Pass, file *os.File) error {
	_, err := d.Retry.Do(ctx, func() error {
		if err := file.Truncate(0); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		out := bufio.NewWriterSize(file, 1<<17)
		if err := d.copyTo(ctx, out, rowsOf(pass)); err != nil {
			return err
		}
		return out.Flush()
	}, postgres.Again)
	return err
}

func (d Drift) copyTo(ctx context.Context, out io.Writer, query string) error {
	tx, err := d.DB.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it has changed nothing
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'`); err != nil {
		return err
	}
	_, err = tx.Conn().PgConn().CopyTo(ctx, out, `COPY (`+query+`) TO STDOUT (FORMAT binary)`)
	return err
}

// spooledRows reads what COPY wrote: the binary format of PostgreSQL, sql-copy.html, "Binary Format".
type spooledRows struct {
	in     *bufio.Reader
	field  []byte
	origin string
}

var errNotSpooled = errors.New("the file with the rows is not as PostgreSQL wrote it")

func readSpool(file *os.File) (*spooledRows, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return readRows(file)
}

func readRows(from io.Reader) (*spooledRows, error) {
	const signature = "PGCOPY\n\xff\r\n\x00"
	r := &spooledRows{in: bufio.NewReaderSize(from, 1<<16)}
	head := make([]byte, len(signature)+8) // flags, and the length of an extension that there is none of
	if _, err := io.ReadFull(r.in, head); err != nil || !bytes.Equal(head, append([]byte(signature), make([]byte, 8)...)) {
		return nil, errors.Join(errNotSpooled, err)
	}
	return r, nil
}

func (r *spooledRows) next() (row mediaRow, err error) {
	var count [2]byte
	if _, err := io.ReadFull(r.in, count[:]); err != nil {
		return row, errors.Join(errNotSpooled, noEOF(err))
	}
	switch int16(binary.BigEndian.Uint16(count[:])) {
	case -1:
		return row, io.EOF
	case 4:
	default:
		return row, errNotSpooled
	}
	origin, err := r.read()
	if err != nil {
		return row, err
	}
	if string(origin) != r.origin { // one text for all of one server
		r.origin = string(origin)
	}
	row.origin = r.origin
	for _, text := range []*string{&row.key, &row.id} {
		value, err := r.read()
		if err != nil {
			return row, err
		}
		*text = string(value)
	}
	unfinished, err := r.read()
	if err != nil || len(unfinished) != 1 {
		return row, errors.Join(errNotSpooled, err)
	}
	row.unfinished = unfinished[0] != 0
	return row, nil
}

// read reads a field; it is good until the next.
func (r *spooledRows) read() ([]byte, error) {
	const longest = 1 << 30 // of a text in PostgreSQL
	var length [4]byte
	if _, err := io.ReadFull(r.in, length[:]); err != nil {
		return nil, errors.Join(errNotSpooled, noEOF(err))
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > longest { // NULL among them
		return nil, errNotSpooled
	}
	if uint32(cap(r.field)) < n {
		r.field = make([]byte, n)
	}
	r.field = r.field[:n]
	if _, err := io.ReadFull(r.in, r.field); err != nil {
		return nil, errors.Join(errNotSpooled, noEOF(err))
	}
	return r.field, nil
}

// noEOF keeps an end that came too early from passing for the end of the rows.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
