//! What encryption demands, as rustls configurations.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Ca;
use crate::fault::Fault;

/// Encrypts, and trusts any certificate.
pub fn unverified() -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(TrustsAny(provider.clone()));
    Ok(builder(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Encrypts, and trusts certificates signed by `ca` for the name that is asked for.
pub fn verified(ca: &Ca) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    Ok(builder(provider)?.with_root_certificates(roots(ca)?).with_no_client_auth())
}

fn builder(provider: Arc<CryptoProvider>) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Fault> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Unsupported { what: "TLS".into(), why: error.to_string() })
}

fn roots(ca: &Ca) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    match ca {
        Ca::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(malformed(
                    "this machine's certificate store",
                    "holds no certificate; name a CA by sslrootcert",
                ));
            }
        }
        Ca::Pem { place, pem } => {
            let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.map_err(|error| malformed(place, &error.to_string()))?;
            for certificate in certificates {
                store.add(certificate).map_err(|error| malformed(place, &error.to_string()))?;
            }
            if store.is_empty() {
                return Err(malformed(place, "holds no certificate in PEM form"));
            }
        }
    }
    Ok(store)
}

fn malformed(place: &str, why: &str) -> Fault {
    Fault::Malformed { what: "the CA certificate".into(), place: place.into(), why: why.into() }
}

/// Takes any certificate. The key in it is nobody's in particular, so its signature proves nothing and is not checked
/// either; that also admits the version 1 certificates that old `openssl` recipes make.
#[derive(Debug)]
struct TrustsAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
