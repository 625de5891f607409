//! One generic body, compiled for every instruction set.

/// Defines a function that runs a generic kernel with the instructions of its first argument:
///
/// ```text
/// simd_fn! {
///     fn scale_row<X: Element>(x: &mut [X], by: f32) = scale_body;
/// }
/// #[inline(always)]
/// fn scale_body<S: Simd, X: Element>(s: S, x: &mut [X], by: f32) { .. }
/// ```
///
/// makes `scale_row(isa, x, by)`. The type parameters are named in the order of the body's, after
/// its `S`. Panics when the CPU cannot run `isa`.
macro_rules! simd_fn {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$($g:ident: $bound:path),+>)? ($($arg:ident: $ty:ty),* $(,)?)
        $(-> $ret:ty)? = $body:path;
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)] // One more than the body's: the instruction set.
        $vis fn $name $(<$($g: $bound),+>)? (isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2 $(<$($g: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { $crate::simd::avx2::Avx2::new() };
                $body(s, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512 $(<$($g: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { $crate::simd::avx512::Avx512::<false>::new() };
                $body(s, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(
                enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"
            )]
            fn avx512_bf16 $(<$($g: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { $crate::simd::avx512::Avx512::<true>::new() };
                $body(s, $($arg),*)
            }
            isa.assert_supported();
            match isa {
                // SAFETY: the CPU has the features, by the assertion above; likewise below.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: see above.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: see above.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx512Bf16 => unsafe { avx512_bf16($($arg),*) },
                _ => $body($crate::simd::portable::Portable, $($arg),*),
            }
        }
    };
}
pub(crate) use simd_fn;
