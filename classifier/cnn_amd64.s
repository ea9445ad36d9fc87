//go:build !noasm

#include "go_asm.h"
#include "textflag.h"

// A block of filters over all windows, in 4, 2 or 1 registers of 16 lanes: Y0 to Y3 hold the sums of one window, Y4 to Y7
// the maxima so far. DI, SI and DX move on from block to block.
//
//	DI acts   SI table   DX floors   R8 rows   R9 windows   R10 width   R11 bytes left   R12 bytes of one offset's rows
//	BX rows from this window on   CX windows left   R13 this offset's rows   R15 offset   AX the window's row among them

#define WINDOWS(block, window, offset, LOAD, ADD, HIGHER) \
block: \
	MOVQ R8, BX \
	MOVQ R9, CX \
window: \
	MOVL (BX), AX \
	ADDQ SI, AX \
	LOAD \
	MOVQ SI, R13 \
	MOVQ $1, R15 \
offset: \
	ADDQ R12, R13 \
	MOVL (BX)(R15*4), AX \
	ADDQ R13, AX \
	ADD \
	INCQ R15 \
	CMPQ R15, R10 \
	JLT  offset \
	HIGHER \
	ADDQ $4, BX \
	DECQ CX \
	JNZ  window

// What a maximum has above its floor, less the lowest bits, is the activation.
#define ACTIVATE(at, top) \
	VPSUBW  at(DX), top, top \
	VPSRLW  $const_ActShift, top, top \
	VMOVDQU top, at(DI)

#define NEXT(bytes) \
	ADDQ $bytes, DI \
	ADDQ $bytes, SI \
	ADDQ $bytes, DX \
	SUBQ $bytes, R11

#define LOAD1 VMOVDQU (AX), Y0
#define LOAD2 LOAD1; VMOVDQU 32(AX), Y1
#define LOAD4 LOAD2; VMOVDQU 64(AX), Y2; VMOVDQU 96(AX), Y3
#define ADD1 VPADDW (AX), Y0, Y0
#define ADD2 ADD1; VPADDW 32(AX), Y1, Y1
#define ADD4 ADD2; VPADDW 64(AX), Y2, Y2; VPADDW 96(AX), Y3, Y3
#define HIGHER1 VPMAXSW Y0, Y4, Y4
#define HIGHER2 HIGHER1; VPMAXSW Y1, Y5, Y5
#define HIGHER4 HIGHER2; VPMAXSW Y2, Y6, Y6; VPMAXSW Y3, Y7, Y7

// func poolAVX2(acts, table, floors *uint16, rows *uint32, windows, width, filters int)
TEXT ·poolAVX2(SB), NOSPLIT, $0-56
	MOVQ  acts+0(FP), DI
	MOVQ  table+8(FP), SI
	MOVQ  floors+16(FP), DX
	MOVQ  rows+24(FP), R8
	MOVQ  windows+32(FP), R9
	MOVQ  width+40(FP), R10
	MOVQ  filters+48(FP), R11
	SHLQ  $1, R11
	IMUL3Q $const_Characters, R11, R12

by4:
	CMPQ    R11, $128
	JLT     by2
	VMOVDQU (DX), Y4
	VMOVDQU 32(DX), Y5
	VMOVDQU 64(DX), Y6
	VMOVDQU 96(DX), Y7
	WINDOWS(block4, window4, offset4, LOAD4, ADD4, HIGHER4)
	ACTIVATE(0, Y4)
	ACTIVATE(32, Y5)
	ACTIVATE(64, Y6)
	ACTIVATE(96, Y7)
	NEXT(128)
	JMP     by4

by2:
	CMPQ    R11, $64
	JLT     by1
	VMOVDQU (DX), Y4
	VMOVDQU 32(DX), Y5
	WINDOWS(block2, window2, offset2, LOAD2, ADD2, HIGHER2)
	ACTIVATE(0, Y4)
	ACTIVATE(32, Y5)
	NEXT(64)

by1:
	CMPQ    R11, $32
	JLT     done
	VMOVDQU (DX), Y4
	WINDOWS(block1, window1, offset1, LOAD1, ADD1, HIGHER1)
	ACTIVATE(0, Y4)

done:
	VZEROUPPER
	RET

// Two activations, in each lane of Y8, times their weights for eight units.
#define MULTIPLY(at, sum) \
	VPMADDWD at(AX), Y8, Y9 \
	VPADDD   Y9, sum, sum

#define ZERO(sum) VPXOR sum, sum, sum

// func addAVX2(sums *int32, acts *uint16, pairs *int16, count, units int)
TEXT ·addAVX2(SB), NOSPLIT, $0-40
	MOVQ sums+0(FP), DI
	MOVQ acts+8(FP), R8
	MOVQ pairs+16(FP), SI
	MOVQ count+24(FP), R9
	MOVQ units+32(FP), R10
	MOVQ R10, R12
	SHLQ $2, R12             // bytes of a pair's weights

by64:
	CMPQ R10, $64
	JLT  by16
	ZERO(Y0)
	ZERO(Y1)
	ZERO(Y2)
	ZERO(Y3)
	ZERO(Y4)
	ZERO(Y5)
	ZERO(Y6)
	ZERO(Y7)
	MOVQ SI, AX
	MOVQ R8, BX
	MOVQ R9, CX

pair64:
	VPBROADCASTD (BX), Y8
	MULTIPLY(0, Y0)
	MULTIPLY(32, Y1)
	MULTIPLY(64, Y2)
	MULTIPLY(96, Y3)
	MULTIPLY(128, Y4)
	MULTIPLY(160, Y5)
	MULTIPLY(192, Y6)
	MULTIPLY(224, Y7)
	ADDQ R12, AX
	ADDQ $4, BX
	DECQ CX
	JNZ  pair64
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	VMOVDQU Y2, 64(DI)
	VMOVDQU Y3, 96(DI)
	VMOVDQU Y4, 128(DI)
	VMOVDQU Y5, 160(DI)
	VMOVDQU Y6, 192(DI)
	VMOVDQU Y7, 224(DI)
	ADDQ $256, DI
	ADDQ $256, SI
	SUBQ $64, R10
	JMP  by64

by16:
	CMPQ R10, $16
	JLT  added
	ZERO(Y0)
	ZERO(Y1)
	MOVQ SI, AX
	MOVQ R8, BX
	MOVQ R9, CX

pair16:
	VPBROADCASTD (BX), Y8
	MULTIPLY(0, Y0)
	MULTIPLY(32, Y1)
	ADDQ R12, AX
	ADDQ $4, BX
	DECQ CX
	JNZ  pair16
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $16, R10
	JMP  by16

added:
	VZEROUPPER
	RET
