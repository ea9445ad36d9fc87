package classifier

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"referee/features"
)

//go:embed default.model
var defaultModel []byte

// Model is a trained model. It is immutable and safe for concurrent use.
type Model struct {
	id      string
	info    Info
	cascade Cascade
	tails   tails
}

// Parse reads a model file. It checks the file's checksum, every length in it and the scores of its golden names, and
// keeps nothing of data.
func Parse(data []byte) (*Model, error) {
	m, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return m, nil
}

func parse(data []byte) (*Model, error) {
	found, id, err := sections(data)
	if err != nil {
		return nil, err
	}
	var m Model
	if err := json.Unmarshal(found["info"], &m.info); err != nil {
		return nil, fmt.Errorf("section info: %w", err)
	}
	if m.cascade, err = parseCascade(found); err != nil {
		return nil, err
	}
	if m.tails, err = parseTails(found["tails"]); err != nil {
		return nil, fmt.Errorf("section tails: %w", err)
	}
	if err := checkGolden(found["golden"], &m.cascade); err != nil {
		return nil, err
	}
	m.id = hex.EncodeToString(id)[:12]
	return &m, nil
}

// Open reads a model file from disk.
func Open(path string) (*Model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, nil
}

// Default is the model that the program carries. docs/model-card.md says what it was trained on and what it reaches.
func Default() (*Model, error) { return Parse(defaultModel) }

// ID is the first 12 hexadecimal digits of the file's SHA-256, as sha256sum prints it.
func (m *Model) ID() string { return m.id }

// Info says what the model was made from.
func (m *Model) Info() Info { return m.info }

// Score is the log-odds that an algorithm made the name's label, against a benign name, both being equally likely. It
// reads nothing of the name but the label. It does not allocate.
func (m *Model) Score(n features.Name) float32 { return m.cascade.Score(n.Label) }

// Tail is the share of clean benign names that score at least as high, from 1/(n+1) to 1. It does not allocate.
func (m *Model) Tail(score float32) float32 { return m.tails.tail(score) }

// Threshold is the least score whose Tail is at most c. It refuses a confidence that the model's calibration cannot
// support, and says which is the least, or that is so loose that it would flag what the first stage clears.
func (m *Model) Threshold(c Confidence) (score float32, err error) {
	score, err = m.tails.threshold(c)
	if err == nil && m.cascade.Network != nil && score < m.cascade.Top {
		return 0, fmt.Errorf("confidence %v: the model's first stage clears names that this would flag; choose a tail of %.2g or smaller",
			c, m.Tail(m.cascade.Top))
	}
	return score, err
}

// Alone are the scores that the model's stages would give by themselves, for comparisons; network is nil where there is
// but one stage.
func (m *Model) Alone() (regression, network func(label string) float32) {
	if m.cascade.Network != nil {
		network = m.cascade.Network.Score
	}
	return m.cascade.Linear.Score, network
}

// Cleared reports whether the first of the model's two stages clears a label, whatever the second would say of it.
func (m *Model) Cleared(label string) bool { return m.cascade.Clears(label) }

// Judge scores a name. It allocates once, for a Domain of its own.
func (m *Model) Judge(n features.Name) Result {
	score := m.Score(n)
	return Result{Domain: strings.Clone(n.Domain), Score: score, Tail: m.Tail(score), Abstain: m.info.Abstains(n.Label)}
}
