package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"synupkeep/config"
)

// zipped is text as gzip has it, without a name or a time.
func zipped(text []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = z.Write(text) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

// writeManual writes the manual page and the completions into the stage.
func (r release) writeManual(stage string) error {
	completions := filepath.Join(stage, "completions")
	if err := os.MkdirAll(completions, 0o755); err != nil {
		return err
	}
	page := []byte(config.ManualPage(r.version, r.time))
	files := map[string][]byte{"synupkeep.1": page, "synupkeep.1.gz": zipped(page)}
	for shell, script := range config.Completions() {
		name := map[string]string{"bash": "synupkeep.bash", "zsh": "_synupkeep", "fish": "synupkeep.fish"}[shell]
		files[filepath.Join("completions", name)] = []byte(script)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(stage, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// archive packs what a host without our packages needs.
func (r release) archive(stage, arch string) error {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	add := func(name, file string, mode int64) error {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(r.name(arch), name), Mode: mode, Size: int64(len(content)), ModTime: r.time, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		_, err = t.Write(content)
		return err
	}
	var errs []error
	for _, name := range []string{"synupkeep.1", "completions/_synupkeep", "completions/synupkeep.bash", "completions/synupkeep.fish"} {
		errs = append(errs, add(name, filepath.Join(stage, name), 0o644))
	}
	errs = append(errs, add("synupkeep", filepath.Join(stage, "synupkeep"), 0o755))
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "docs", "deploy/systemd", "deploy/prometheus", "deploy/grafana", "deploy/kubernetes", "deploy/packages/synupkeep.env"} {
		// WalkDir goes by name.
		errs = append(errs, filepath.WalkDir(filepath.Join(r.root, name), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			relative, err := filepath.Rel(r.root, file)
			if err != nil {
				return err
			}
			return add(filepath.ToSlash(relative), file, 0o644)
		}))
	}
	if err := errors.Join(append(errs, t.Close())...); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return r.write(r.name(arch)+".tar.gz", zipped(b.Bytes()))
}

func (r release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), content, 0o644)
}

// packages makes a deb and an rpm.
func (r release) packages(ctx context.Context, stage, arch string) error {
	if r.nfpm == "" {
		return nil
	}
	template, err := os.ReadFile(filepath.Join(r.root, "deploy/packages/nfpm.yaml"))
	if err != nil {
		return err
	}
	known := map[string]string{"ARCH": arch, "STAGE": stage, "VERSION": r.version, "MTIME": r.time.Format(time.RFC3339)}
	recipe := filepath.Join(stage, "nfpm.yaml")
	text := os.Expand(string(template), func(name string) string { return known[name] })
	if err := os.WriteFile(recipe, []byte(text), 0o600); err != nil {
		return err
	}
	for _, kind := range []string{"deb", "rpm"} {
		cmd := exec.CommandContext(ctx, r.nfpm, "package", "--config", recipe, "--packager", kind, "--target", r.out+"/")
		cmd.Dir = r.root
		cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("make the %s: %w\n%s", kind, err, out)
		}
	}
	return nil
}

// sums writes SHA256SUMS of all files, as sha256sum -c reads it.
func (r release) sums() error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(r.out, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), file.Name())
	}
	return r.write("SHA256SUMS", []byte(b.String()))
}
