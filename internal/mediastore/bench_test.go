package mediastore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synupkeep/internal/mediastore"
)

// BenchmarkRemove deletes 20,000 media with three thumbnails each, one after the other on one processor, and an identical
// store by rm -rf, in turns. It reports the median of both and their ratio.
func BenchmarkRemove(b *testing.B) {
	const media = 20_000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ours, theirs []time.Duration
	for range b.N {
		b.StopTimer()
		path, ids := plantedForBench(b, media)
		store, err := mediastore.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		start := time.Now()
		var files int64
		for _, id := range ids {
			done, err := store.Remove(b.Context(), mediastore.Local, "", id)
			if err != nil {
				b.Fatal(err)
			}
			files += done.Files
		}
		ours = append(ours, time.Since(start))
		b.StopTimer()
		if files != 4*media {
			b.Fatalf("removed %d files, want %d", files, 4*media)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}

		path, _ = plantedForBench(b, media)
		start = time.Now()
		if out, err := exec.CommandContext(b.Context(), "rm", "-rf", path).CombinedOutput(); err != nil {
			b.Fatalf("rm -rf: %v\n%s", err, out)
		}
		theirs = append(theirs, time.Since(start))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	our, their := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(our.Seconds(), "s/ours")
	b.ReportMetric(their.Seconds(), "s/rm-rf")
	b.ReportMetric(our.Seconds()/their.Seconds(), "ratio")
}

// plantedForBench makes a store of local media, the same one each time, and has it written to disk.
func plantedForBench(b *testing.B, media int) (path string, ids []string) {
	b.Helper()
	path = b.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 2000)
	write := func(name string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for range media {
		id := randomID(random)
		ids = append(ids, id)
		shard := filepath.Join(id[:2], id[2:4], id[4:])
		write(filepath.Join(path, "local_content", shard))
		for _, size := range []int{32, 96, 320} {
			write(filepath.Join(path, "local_thumbnails", shard, fmt.Sprintf("%d-%d-image-jpeg-scale", size, size)))
		}
	}
	unix.Sync()
	return path, ids
}

func randomID(random *rand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	id := make([]byte, 24)
	for i := range id {
		id[i] = letters[random.IntN(len(letters))]
	}
	return string(id)
}
