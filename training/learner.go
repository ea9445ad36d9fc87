package training

import (
	"context"
	"errors"
	"fmt"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/evaluation"

	"referee/classifier"
)

// learner is the trainer behind golearn's base.Classifier, so that golearn's evaluation judges it as it would any other. Its rows are names of a
// table: golearn's columns hold numbers and classes, so that a row says which name it is, and its class.
type learner struct {
	ctx       context.Context //nolint:containedctx // base.Classifier's methods have no place for one
	corpus    *Corpus         // what it is told beside its rows: the clean names to calibrate with
	recipe    Recipe
	progress  func(done, total int)
	table     []tableName
	threshold func(model scorer) float32 // from which on a name is called generated
	model     *classifier.Cascade
}

// tableName is a name that a row stands for.
type tableName struct {
	label, group, kind string // group is a benign name's source or a generated one's family
}

var _ base.Classifier = (*learner)(nil)

// rowName is the only attribute of a row.
const rowName = "name"

// nameGrid is a golearn dataset of names of a table: rows says which, and generated which of them are.
func nameGrid(rows []int, generated func(row int) bool) (*base.DenseInstances, error) {
	grid := base.NewDenseInstances()
	name := grid.AddAttribute(base.NewFloatAttribute(rowName))
	class, column, err := addClass(grid)
	if err != nil {
		return nil, err
	}
	if err := grid.Extend(len(rows)); err != nil {
		return nil, err
	}
	benignClass, generatedClass := class.GetSysValFromString(benignWord), class.GetSysValFromString(generatedWord)
	for i, row := range rows {
		grid.Set(name, i, base.PackFloatToBytes(float64(row)))
		if generated(row) {
			grid.Set(column, i, generatedClass)
		} else {
			grid.Set(column, i, benignClass)
		}
	}
	return grid, nil
}

// each calls with every row's name and class.
func (l *learner) each(grid base.FixedDataGrid, call func(n tableName, generated bool)) error {
	var name base.AttributeSpec
	found := false
	for _, a := range grid.AllAttributes() { // by name: their order is not fixed
		if a.GetName() == rowName {
			spec, err := grid.GetAttribute(a)
			if err != nil {
				return err
			}
			name, found = spec, true
		}
	}
	if !found {
		return fmt.Errorf("a dataset without the attribute %q", rowName)
	}
	_, rows := grid.Size()
	for row := range rows {
		place := int(base.UnpackBytesToFloat(grid.Get(name, row)))
		call(l.table[place], base.GetClass(grid, row) == generatedWord)
	}
	return nil
}

// Fit trains on the rows.
func (l *learner) Fit(grid base.FixedDataGrid) error {
	c := *l.corpus
	c.Benign, c.Families, c.LeftOut = nil, nil, nil
	families := map[string]*Family{}
	var order []*Family
	err := l.each(grid, func(n tableName, generated bool) {
		if !generated {
			c.Benign = append(c.Benign, Labelled{n.label, n.group})
			return
		}
		f := families[n.group]
		if f == nil {
			f = &Family{Name: n.group, Kind: n.kind}
			families[n.group] = f
			order = append(order, f)
		}
		f.Labels = append(f.Labels, n.label)
	})
	if err != nil {
		return err
	}
	apart := map[string]bool{}
	for _, f := range l.corpus.LeftOut {
		apart[f.Name] = true
	}
	for _, f := range order {
		if apart[f.Name] {
			c.LeftOut = append(c.LeftOut, *f)
		} else {
			c.Families = append(c.Families, *f)
		}
	}
	learned, err := learn(l.ctx, &c, c.Families, l.recipe, l.progress)
	if err != nil {
		return err
	}
	l.model = learned.model
	return nil
}

// Predict says of each row whether its name is generated.
func (l *learner) Predict(grid base.FixedDataGrid) (base.FixedDataGrid, error) {
	if l.model == nil {
		return nil, errors.New("predict: not fitted")
	}
	at := l.threshold(l.model)
	var told []bool
	if err := l.each(grid, func(n tableName, _ bool) { told = append(told, l.model.Score(n.label) >= at) }); err != nil {
		return nil, err
	}
	return classGrid(len(told), func(row int) bool { return told[row] })
}

// String is what golearn shows of it.
func (l *learner) String() string { return l.recipe.scorer() }

// GetMetadata is what golearn's ensembles ask for.
func (l *learner) GetMetadata() base.ClassifierMetadataV1 {
	return base.ClassifierMetadataV1{FormatVersion: 1, ClassifierName: l.String()}
}

var errNotKept = errors.New("golearn's files do not hold these models: referee-train train writes one")

// Save and its like are refused.
func (l *learner) Save(string) error { return errNotKept }

// Load is refused.
func (l *learner) Load(string) error { return errNotKept }

// SaveWithPrefix is refused.
func (l *learner) SaveWithPrefix(*base.ClassifierSerializer, string) error { return errNotKept }

// LoadWithPrefix is refused.
func (l *learner) LoadWithPrefix(*base.ClassifierDeserializer, string) error { return errNotKept }

// Mean is golearn's cross-validated metric: the mean over the folds, and the standard deviation.
type Mean struct {
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"`
}

// matrix is the confusion as golearn has it.
func (c Confusion) matrix() evaluation.ConfusionMatrix {
	return evaluation.ConfusionMatrix{
		generatedWord: {generatedWord: c.Generated.Hits, benignWord: c.Generated.Names - c.Generated.Hits},
		benignWord:    {generatedWord: c.Benign.Hits, benignWord: c.Benign.Names - c.Benign.Hits},
	}
}
