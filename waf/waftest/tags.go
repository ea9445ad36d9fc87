package waftest

import "slices"

// tag is one of a set's: at most 50, keys of up to 128 characters, values of up to 256 (API model, Tag).
type tag struct{ Key, Value string }

func (in input) checkTags() *apiError {
	if len(in.Tags) > 50 {
		return &apiError{Code: "WAFTagOperationException", Message: "more than 50 tags"}
	}
	for _, t := range in.Tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
			return validation(t.Key, "tags", "Member must have length between 1 and 128")
		}
	}
	return nil
}

func (s *Server) listTags(in input) (any, *apiError) {
	e := s.byARN(in.ResourceARN)
	if e == nil {
		return nil, nonexistent()
	}
	info := struct {
		ResourceARN string
		TagList     []tag
	}{in.ResourceARN, slices.Clone(e.tags)}
	return map[string]any{"TagInfoForResource": info}, nil
}

func (s *Server) tagResource(in input) (any, *apiError) {
	e := s.byARN(in.ResourceARN)
	if e == nil {
		return nil, nonexistent()
	}
	if fail := in.checkTags(); fail != nil {
		return nil, fail
	}
	e.tag(in.Tags)
	return struct{}{}, nil
}

func (s *set) tag(tags []tag) {
	for _, t := range tags {
		s.tags = slices.DeleteFunc(s.tags, func(old tag) bool { return old.Key == t.Key })
		s.tags = append(s.tags, t)
	}
}
