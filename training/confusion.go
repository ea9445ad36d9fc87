package training

import (
	"fmt"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/evaluation"
)

// Confusion is golearn's confusion matrix of clean benign names and of the generated names of a group, at one threshold.
type Confusion struct {
	Generated Rate    `json:"generated"` // found
	Benign    Rate    `json:"benign"`    // flagged by mistake
	Precision float64 `json:"precision"` // at the mixture of these sets, which is no traffic's
	F1        float64 `json:"f1"`
}

func confusion(benign, generated []float32, threshold float32) (Confusion, error) {
	truth, err := classGrid(len(benign)+len(generated), func(row int) bool { return row >= len(benign) })
	if err != nil {
		return Confusion{}, fmt.Errorf("confusion matrix: %w", err)
	}
	told, err := classGrid(len(benign)+len(generated), func(row int) bool {
		if row < len(benign) {
			return benign[row] >= threshold
		}
		return generated[row-len(benign)] >= threshold
	})
	if err != nil {
		return Confusion{}, fmt.Errorf("confusion matrix: %w", err)
	}
	matrix, err := evaluation.GetConfusionMatrix(truth, told)
	if err != nil {
		return Confusion{}, fmt.Errorf("confusion matrix: %w", err)
	}
	return confusionOf(matrix), nil
}

// confusionOf reads golearn's matrix.
func confusionOf(matrix evaluation.ConfusionMatrix) Confusion {
	of := func(class string) Rate {
		hits := matrix[class][generatedWord]
		return Rate{hits, hits + matrix[class][benignWord]}
	}
	c := Confusion{Generated: of(generatedWord), Benign: of(benignWord)}
	if c.Generated.Hits > 0 {
		c.Precision = evaluation.GetPrecision(generatedWord, matrix)
		c.F1 = evaluation.GetF1Score(generatedWord, matrix)
	}
	return c
}

// classGrid is a golearn dataset with nothing but a class.
func classGrid(rows int, generated func(row int) bool) (*base.DenseInstances, error) {
	grid := base.NewDenseInstances()
	class, column, err := addClass(grid)
	if err != nil {
		return nil, err
	}
	if err := grid.Extend(rows); err != nil {
		return nil, err
	}
	for row := range rows {
		grid.Set(column, row, class.GetSysValFromString(classWord(generated(row))))
	}
	return grid, nil
}

// addClass gives a grid its class column: benign or generated.
func addClass(grid *base.DenseInstances) (*base.CategoricalAttribute, base.AttributeSpec, error) {
	class := base.NewCategoricalAttribute()
	class.SetName("class")
	column := grid.AddAttribute(class)
	return class, column, grid.AddClassAttribute(class)
}

const (
	generatedWord = "generated"
	benignWord    = "benign"
)

func classWord(generated bool) string {
	if generated {
		return generatedWord
	}
	return benignWord
}
