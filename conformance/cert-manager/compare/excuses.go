package compare

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// excuses are the committed differences, one a line: `pattern of the fact | reason`, where `*` stands for any text.
type excuses struct {
	file     string
	patterns []string
}

func readExcuses(file string) (*excuses, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	read := &excuses{file: file}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, found := strings.Cut(line, " | ")
		if !found || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s: no reason in `%s`", file, line)
		}
		read.patterns = append(read.patterns, strings.TrimSpace(pattern))
	}
	return read, nil
}

// verdict is what is left after excusing.
type verdict struct {
	unexcused []Difference
	needless  []string
	file      string
}

func (e *excuses) judge(differences []Difference) verdict {
	used := make([]bool, len(e.patterns))
	left := verdict{file: e.file}
	for _, difference := range differences {
		excused := false
		for i, pattern := range e.patterns {
			if matches(pattern, difference.Fact) {
				used[i], excused = true, true
			}
		}
		if !excused {
			left.unexcused = append(left.unexcused, difference)
		}
	}
	for i, pattern := range e.patterns {
		if !used[i] {
			left.needless = append(left.needless, pattern)
		}
	}
	return left
}

func (v verdict) report() error {
	for _, difference := range v.unexcused {
		fmt.Println(difference)
	}
	for _, pattern := range v.needless {
		fmt.Printf("%s: listed in %s, but nothing differs there\n", pattern, v.file)
	}
	if wrong := len(v.unexcused) + len(v.needless); wrong > 0 {
		return errors.New(fmt.Sprint(wrong, " wrong"))
	}
	return nil
}

// matches: every part between the stars stands in the text, in that order, the outer ones at its ends.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, last)
}
