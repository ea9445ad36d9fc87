#include "textflag.h"

// Each lane computes what the plain loops of cnn_loops.go compute, in their order: the same bits.

// func poolAVX2(codes *uint8, windows, k int, table *float32, bias *float32, filters int, top *float32, best *int32, first int32)
//
// Of a multiple of 32 filters, 32 at a time: Y0–Y3 sums of a window, Y4–Y7 their maxima, Y8–Y11 where those are.
TEXT ·poolAVX2(SB), NOSPLIT, $0-68
	MOVQ table+24(FP), SI
	MOVQ bias+32(FP), DX
	MOVQ filters+40(FP), R8
	SHLQ $2, R8              // bytes of a row
	MOVQ top+48(FP), DI
	MOVQ best+56(FP), R9
	XORQ R10, R10            // bytes of the row done
	MOVL $1, AX
	MOVL AX, X14
	VPBROADCASTD X14, Y14    // 1
	IMUL3Q $39, R8, R15      // bytes of an offset: classifier.Characters rows
blocks:
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	MOVL first+64(FP), AX
	MOVL AX, X12
	VPBROADCASTD X12, Y12
	MOVQ codes+0(FP), R11
	MOVQ windows+8(FP), R12
windows:
	VMOVUPS (DX)(R10*1), Y0
	VMOVUPS 32(DX)(R10*1), Y1
	VMOVUPS 64(DX)(R10*1), Y2
	VMOVUPS 96(DX)(R10*1), Y3
	LEAQ (SI)(R10*1), BX     // this offset's rows
	MOVQ k+16(FP), CX
	MOVQ R11, R13
offsets:
	MOVBLZX (R13), AX
	IMULQ R8, AX
	VADDPS (BX)(AX*1), Y0, Y0
	VADDPS 32(BX)(AX*1), Y1, Y1
	VADDPS 64(BX)(AX*1), Y2, Y2
	VADDPS 96(BX)(AX*1), Y3, Y3
	ADDQ R15, BX
	INCQ R13
	DECQ CX
	JNZ offsets
	VCMPPS $0x1E, Y4, Y0, Y13 // Y0 > Y4
	VBLENDVPS Y13, Y0, Y4, Y4
	VBLENDVPS Y13, Y12, Y8, Y8
	VCMPPS $0x1E, Y5, Y1, Y13
	VBLENDVPS Y13, Y1, Y5, Y5
	VBLENDVPS Y13, Y12, Y9, Y9
	VCMPPS $0x1E, Y6, Y2, Y13
	VBLENDVPS Y13, Y2, Y6, Y6
	VBLENDVPS Y13, Y12, Y10, Y10
	VCMPPS $0x1E, Y7, Y3, Y13
	VBLENDVPS Y13, Y3, Y7, Y7
	VBLENDVPS Y13, Y12, Y11, Y11
	VPADDD Y14, Y12, Y12
	INCQ R11
	DECQ R12
	JNZ windows
	VMOVUPS Y4, (DI)(R10*1)
	VMOVUPS Y5, 32(DI)(R10*1)
	VMOVUPS Y6, 64(DI)(R10*1)
	VMOVUPS Y7, 96(DI)(R10*1)
	VMOVUPS Y8, (R9)(R10*1)
	VMOVUPS Y9, 32(R9)(R10*1)
	VMOVUPS Y10, 64(R9)(R10*1)
	VMOVUPS Y11, 96(R9)(R10*1)
	ADDQ $128, R10
	CMPQ R10, R8
	JNE blocks
	VZEROUPPER
	RET

// func forwardAVX2(units, rows, pooled *float32, features, n int)
//
// Of a multiple of 16 units, 64 at a time in Y0–Y7 and what is left 16 at a time.
TEXT ·forwardAVX2(SB), NOSPLIT, $0-40
	MOVQ units+0(FP), DI
	MOVQ rows+8(FP), SI
	MOVQ pooled+16(FP), DX
	MOVQ features+24(FP), R8
	MOVQ n+32(FP), CX
	MOVQ CX, R9
	SHLQ $2, R9              // bytes of a row
	VXORPS X15, X15, X15
wide:
	CMPQ CX, $64
	JLT narrow
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	VMOVUPS 128(DI), Y4
	VMOVUPS 160(DI), Y5
	VMOVUPS 192(DI), Y6
	VMOVUPS 224(DI), Y7
	MOVQ SI, BX
	XORQ AX, AX
wideloop:
	VMOVSS (DX)(AX*4), X8
	VUCOMISS X15, X8
	JEQ widenext
	VBROADCASTSS (DX)(AX*4), Y8
	VMULPS (BX), Y8, Y9
	VADDPS Y9, Y0, Y0
	VMULPS 32(BX), Y8, Y10
	VADDPS Y10, Y1, Y1
	VMULPS 64(BX), Y8, Y11
	VADDPS Y11, Y2, Y2
	VMULPS 96(BX), Y8, Y12
	VADDPS Y12, Y3, Y3
	VMULPS 128(BX), Y8, Y9
	VADDPS Y9, Y4, Y4
	VMULPS 160(BX), Y8, Y10
	VADDPS Y10, Y5, Y5
	VMULPS 192(BX), Y8, Y11
	VADDPS Y11, Y6, Y6
	VMULPS 224(BX), Y8, Y12
	VADDPS Y12, Y7, Y7
widenext:
	ADDQ R9, BX
	INCQ AX
	CMPQ AX, R8
	JNE wideloop
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VMOVUPS Y4, 128(DI)
	VMOVUPS Y5, 160(DI)
	VMOVUPS Y6, 192(DI)
	VMOVUPS Y7, 224(DI)
	ADDQ $256, DI
	ADDQ $256, SI
	SUBQ $64, CX
	JMP wide
narrow:
	TESTQ CX, CX
	JEQ done
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	MOVQ SI, BX
	XORQ AX, AX
narrowloop:
	VMOVSS (DX)(AX*4), X8
	VUCOMISS X15, X8
	JEQ narrownext
	VBROADCASTSS (DX)(AX*4), Y8
	VMULPS (BX), Y8, Y9
	VADDPS Y9, Y0, Y0
	VMULPS 32(BX), Y8, Y10
	VADDPS Y10, Y1, Y1
narrownext:
	ADDQ R9, BX
	INCQ AX
	CMPQ AX, R8
	JNE narrowloop
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, DI
	ADDQ $64, SI
	SUBQ $16, CX
	JMP narrow
done:
	VZEROUPPER
	RET

// func outersAVX2(rows, gradients, slopes, pooled, inner *float32, features, n int)
TEXT ·outersAVX2(SB), NOSPLIT, $0-56
	MOVQ rows+0(FP), SI
	MOVQ gradients+8(FP), DI
	MOVQ slopes+16(FP), DX
	MOVQ pooled+24(FP), R10
	MOVQ inner+32(FP), R11
	MOVQ features+40(FP), R8
	MOVQ n+48(FP), CX
	SHLQ $2, CX              // bytes of a row
	XORQ BX, BX
	VXORPS X15, X15, X15
features:
	VMOVSS (R10)(BX*4), X7
	VUCOMISS X15, X7
	JEQ next
	VBROADCASTSS (R10)(BX*4), Y7
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
loop:
	VMOVUPS (DX)(AX*1), Y2
	VMOVUPS 32(DX)(AX*1), Y3
	VMULPS (SI)(AX*1), Y2, Y4
	VMULPS 32(SI)(AX*1), Y3, Y5
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VMULPS Y2, Y7, Y2
	VMULPS Y3, Y7, Y3
	VADDPS (DI)(AX*1), Y2, Y2
	VADDPS 32(DI)(AX*1), Y3, Y3
	VMOVUPS Y2, (DI)(AX*1)
	VMOVUPS Y3, 32(DI)(AX*1)
	ADDQ $64, AX
	CMPQ AX, CX
	JNE loop
	VADDPS Y1, Y0, Y0        // the tree of fold
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, (R11)(BX*4)
next:
	ADDQ CX, SI
	ADDQ CX, DI
	INCQ BX
	CMPQ BX, R8
	JNE features
	VZEROUPPER
	RET

// The constants of adam.descend.
DATA decays<>+0(SB)/4, $0.9
DATA decays<>+4(SB)/4, $0.1
DATA decays<>+8(SB)/4, $0.999
DATA decays<>+12(SB)/4, $0.001
DATA decays<>+16(SB)/4, $1e-8
GLOBL decays<>(SB), RODATA|NOPTR, $20

// func descendAVX2(weights, mean, squares *float32, gradients **float32, n int, scale, rate, slow, slower float32)
//
// The gradients are of networkShards, 8; n is a multiple of 8.
TEXT ·descendAVX2(SB), NOSPLIT, $0-56
	MOVQ weights+0(FP), DI
	MOVQ mean+8(FP), SI
	MOVQ squares+16(FP), DX
	MOVQ gradients+24(FP), BX
	MOVQ n+32(FP), CX
	SHLQ $2, CX
	VBROADCASTSS scale+40(FP), Y8
	VBROADCASTSS rate+44(FP), Y9
	VBROADCASTSS slow+48(FP), Y10
	VBROADCASTSS slower+52(FP), Y11
	VBROADCASTSS decays<>+0(SB), Y12  // 0.9
	VBROADCASTSS decays<>+4(SB), Y13  // 0.1
	VBROADCASTSS decays<>+8(SB), Y14  // 0.999
	VBROADCASTSS decays<>+12(SB), Y15 // 0.001
	VBROADCASTSS decays<>+16(SB), Y7  // 1e-8
	VXORPS Y6, Y6, Y6
	XORQ AX, AX
loop:
	VXORPS Y0, Y0, Y0
	XORQ R8, R8
shards:
	MOVQ (BX)(R8*8), R9
	VADDPS (R9)(AX*1), Y0, Y0
	VMOVUPS Y6, (R9)(AX*1)
	INCQ R8
	CMPQ R8, $8
	JNE shards
	VMULPS Y8, Y0, Y0        // g
	VMULPS (SI)(AX*1), Y12, Y1
	VMULPS Y13, Y0, Y2
	VADDPS Y2, Y1, Y1        // mean
	VMOVUPS Y1, (SI)(AX*1)
	VMULPS Y0, Y0, Y2
	VMULPS Y15, Y2, Y2
	VMULPS (DX)(AX*1), Y14, Y3
	VADDPS Y2, Y3, Y3        // squares
	VMOVUPS Y3, (DX)(AX*1)
	VMULPS Y11, Y3, Y3
	VSQRTPS Y3, Y3
	VADDPS Y7, Y3, Y3        // down
	VMULPS Y10, Y1, Y1
	VMULPS Y9, Y1, Y1
	VDIVPS Y3, Y1, Y1
	VMOVUPS (DI)(AX*1), Y2
	VSUBPS Y1, Y2, Y2
	VMOVUPS Y2, (DI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, CX
	JNE loop
	VZEROUPPER
	RET
