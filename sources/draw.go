package sources

import (
	"context"
	"errors"
	"fmt"
	"math"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// ErrNoTable says that the database does not have a table: it is of another release, or lies in a database of its own.
var ErrNoTable = errors.New("the database has no such table")

// DrawnBlocks is how much of a table is read at most where an estimate will do, of 8 KiB each: 64 MiB.
const DrawnBlocks = 8192

// Draw is which part of a table is read to estimate all of it: blocks that PostgreSQL draws by TABLESAMPLE SYSTEM, each with the
// same chance and independent of the others. The same blocks are drawn each time (REPEATABLE), so that an unchanged table
// gives the same estimate. A small table is read whole, and nothing is estimated.
type Draw struct {
	// Percent is for TABLESAMPLE SYSTEM, which takes a real.
	Percent float32
	// Extent has all but the number of rows.
	Extent item.Extent
}

// DrawFrom draws about that many blocks of a table, 0 for [DrawnBlocks]. The error is ErrNoTable where there is none.
func DrawFrom(ctx context.Context, db postgres.Querier, table string, blocks int64) (Draw, error) {
	if blocks == 0 {
		blocks = DrawnBlocks
	}
	var all *int64
	err := db.QueryRow(ctx, `SELECT pg_relation_size(to_regclass($1)) / current_setting('block_size')::bigint`, table).Scan(&all)
	if err != nil {
		return Draw{}, fmt.Errorf("look at the size of %s: %w", table, err)
	}
	if all == nil {
		return Draw{}, fmt.Errorf("%w: %s", ErrNoTable, table)
	}
	d := Draw{Percent: 100, Extent: item.Extent{Table: table, Blocks: *all, BlocksRead: *all}}
	if *all > blocks {
		d.Percent = float32(100 * float64(blocks) / float64(*all))
		d.Extent.BlocksRead = blocks
	}
	return d, nil
}

// Whole says that every row was read: nothing is an estimate.
func (d Draw) Whole() bool { return d.Percent >= 100 }

// Sample is the extent with the rows that were read in it, nil where that was every row.
func (d Draw) Sample(rows int64) *item.Extent {
	if d.Whole() {
		return nil
	}
	e := d.Extent
	e.Rows = rows
	return &e
}

// Estimate is how much the whole table has of what the drawn blocks have n of.
func (d Draw) Estimate(n float64) int64 {
	if d.Whole() {
		return int64(math.Round(n))
	}
	return int64(math.Round(n / d.share()))
}

// Margin is by how much an estimate may be wrong in 19 of 20 cases, from the sum of the squares of what each drawn block had:
// two standard deviations of the Horvitz-Thompson estimator, whose blocks are drawn independently.
func (d Draw) Margin(squares float64) int64 {
	if d.Whole() || squares <= 0 {
		return 0
	}
	p := d.share()
	return int64(math.Ceil(2 * math.Sqrt((1-p)*squares) / p))
}

func (d Draw) share() float64 { return float64(d.Percent) / 100 }
