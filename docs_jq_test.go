package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/itchyny/gojq"
)

// jqInGo is jq, as far as the docs use it: -r, -c, a filter, files or the standard input.
func jqInGo() {
	raw, args := false, os.Args[1:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		raw = raw || args[0] == "-r"
		args = args[1:]
	}
	if err := filter(args, raw); err != nil {
		fmt.Fprintln(os.Stderr, "jq:", err)
		os.Exit(1)
	}
}

func filter(args []string, raw bool) error {
	query, err := gojq.Parse(args[0])
	if err != nil {
		return err
	}
	inputs := []*os.File{os.Stdin}
	if len(args) > 1 {
		inputs = nil
	}
	for _, name := range args[1:] {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		inputs = append(inputs, file)
	}
	for _, input := range inputs {
		for decoder := json.NewDecoder(input); ; {
			var value any
			if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			if err := show(query, value, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

func show(query *gojq.Query, value any, raw bool) error {
	for found := query.Run(value); ; {
		result, more := found.Next()
		if !more {
			return nil
		}
		if err, failed := result.(error); failed {
			return err
		}
		if text, isText := result.(string); raw && isText {
			fmt.Println(text)
			continue
		}
		text, err := json.Marshal(result)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
}
