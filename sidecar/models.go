package sidecar

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
)

// role is what a model is for. The words are metric labels and parts of the health page.
type role string

const (
	live      role = "model"     // judges
	candidate role = "candidate" // is compared with the live one, and decides nothing
)

func (c ModelConfig) file(r role) string {
	if r == live {
		return c.File
	}
	return c.Candidate
}

// models remembers how each model came, and why one did not.
type models struct {
	now              func() time.Time
	health           *health
	info, loadedAt   *prometheus.GaugeVec
	swapped, refused *prometheus.CounterVec

	mu    sync.Mutex
	state map[role]modelState
}

// modelState is what is known of one role's model.
type modelState struct {
	id      string
	file    string
	loaded  time.Time
	refused error // why a file was not taken up; nil once one is
	at      time.Time
}

func newModels(reg prometheus.Registerer, h *health, now func() time.Time) *models {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	counter := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"role"})
		reg.MustRegister(v)
		for _, r := range []role{live, candidate} {
			v.WithLabelValues(string(r)) // 0 before the first
		}
		return v
	}
	return &models{
		now: now, health: h, state: map[role]modelState{},
		info:     gauge("referee_model_info", "1 for the model in use, by its id.", "role", "model"),
		loadedAt: gauge("referee_model_loaded_timestamp_seconds", "When the model in use was taken up, Unix time.", "role"),
		swapped:  counter("referee_model_swaps_total", "Models taken up in the place of another while running."),
		refused: counter("referee_model_refused_total",
			"Model files that were not taken up, because they are damaged, gone, or not calibrated well enough; the one before stays."),
	}
}

// taken records that a role's model is in use now; a nil one, that the role has none.
func (m *models) taken(r role, model *classifier.Model, file string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.state[r]
	m.health.set(string(r), nil)
	if model == nil {
		m.info.DeletePartialMatch(prometheus.Labels{"role": string(r)})
		m.loadedAt.DeleteLabelValues(string(r))
		delete(m.state, r)
		return
	}
	next := modelState{id: model.ID(), file: file, loaded: before.loaded}
	if before.id != next.id {
		next.loaded = m.now()
		m.info.DeletePartialMatch(prometheus.Labels{"role": string(r)})
		m.info.WithLabelValues(string(r), next.id).Set(1)
		m.loadedAt.WithLabelValues(string(r)).Set(float64(next.loaded.Unix()))
		if before.id != "" {
			m.swapped.WithLabelValues(string(r)).Inc()
		}
	}
	m.state[r] = next
}

// refuse records why a role's file was not taken up.
func (m *models) refuse(r role, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := m.state[r]
	state.refused, state.at = err, m.now()
	m.state[r] = state
	m.refused.WithLabelValues(string(r)).Inc()
}

// modelPage is one model on the admin page /model.
type modelPage struct {
	ID      string     `json:"id,omitempty"`   // 12 hexadecimal digits; absent where none could be loaded yet
	File    string     `json:"file,omitempty"` // absent: built in
	Loaded  *time.Time `json:"loaded,omitempty"`
	Refused *refusal   `json:"last_error,omitempty"` // of a file that was not taken up, until one is

	*classifier.Info
}

// refusal is why a model file was not taken up.
type refusal struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
}

// page says what is known of a role's model, or nil where there is nothing.
func (m *models) page(r role, model *classifier.Model) *modelPage {
	m.mu.Lock()
	state, known := m.state[r]
	m.mu.Unlock()
	if !known {
		return nil
	}
	p := &modelPage{ID: state.id, File: state.file}
	if state.id != "" {
		p.Loaded = &state.loaded
	}
	if state.refused != nil {
		p.Refused = &refusal{state.at, state.refused.Error()}
	}
	if model != nil {
		info := model.Info()
		p.Info = &info
	}
	return p
}

// roleError is an error about the model of one role.
type roleError struct {
	role role
	err  error
}

func (e *roleError) Error() string { return e.err.Error() }

func (e *roleError) Unwrap() error { return e.err }

// openCandidate opens the model to compare with, nil where none is configured. Both are compared at the same confidence,
// so that it must be calibrated as well.
func openCandidate(cfg Config) (*classifier.Model, error) {
	if cfg.Model.Candidate == "" {
		return nil, nil
	}
	model, err := classifier.Open(cfg.Model.Candidate)
	if err == nil {
		_, err = model.Threshold(cfg.Policy.Confidence)
	}
	if err != nil {
		return nil, &roleError{candidate, fmt.Errorf("classifier.candidate: %w", err)}
	}
	return model, nil
}

// takeUp looks into the file of a role's model and swaps in what it holds. A bad file changes nothing.
func (s *Sidecar) takeUp(r role) {
	s.swapping.Lock()
	defer s.swapping.Unlock()
	current := s.judging.Load()
	next, err := current.with(r)
	if err != nil {
		s.models.refuse(r, err)
		s.health.set(string(r), fmt.Errorf("%w: %s", err, current.instead(r)))
		return
	}
	s.swap(next)
	s.models.taken(r, next.model(r), next.config.Model.file(r))
	if was, is := current.id(r), next.id(r); was != is {
		s.log.Info("model swapped", "role", string(r), "model", is, "before", was, "policy", next.policy.ID())
	}
}

// with is the same with the model that a role's file holds now.
func (j *judging) with(r role) (*judging, error) {
	next := *j
	if r == candidate {
		model, err := openCandidate(j.config)
		next.candidate = model
		return &next, err
	}
	model, err := OpenModel(j.config.Model)
	if err != nil {
		return nil, err
	}
	if model.ID() == j.id(live) {
		return j, nil
	}
	next.policy, err = j.policy.For(model)
	next.cache = classifier.NewCache(model, j.config.Model.Cache)
	return &next, err
}

func (j *judging) model(r role) *classifier.Model {
	if r == live {
		return j.cache.Model()
	}
	return j.candidate
}

func (j *judging) id(r role) string {
	if m := j.model(r); m != nil {
		return m.ID()
	}
	return ""
}

// instead says what goes on without the file that was refused.
func (j *judging) instead(r role) string {
	if id := j.id(r); id != "" {
		return fmt.Sprintf("model %s stays", id)
	}
	return "nothing is compared"
}

// use makes the next request judge by j, whose models are both as they should be.
func (s *Sidecar) use(j *judging) {
	s.swap(j)
	for _, r := range []role{live, candidate} {
		s.models.taken(r, j.model(r), j.config.Model.file(r))
	}
}

// refused records a reload's error where it is about a model.
func (s *Sidecar) refused(err error) {
	if about, ok := errors.AsType[*roleError](err); ok {
		s.models.refuse(about.role, err)
	}
}
