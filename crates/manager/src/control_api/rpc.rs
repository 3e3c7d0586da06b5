//! The methods of the control service, each a line or two over the functions of its kind.

use tonic::{Request, Response, Status};
use types::{Annotations, Secret};
use wire::api;
use wire::api::control_server::Control;

use control::filter::Common;
use control::{ControlError, cluster, crud, node, objects, service, task};

use super::status::{OrRefuse, refusal};
use super::{ControlApi, fitting};
use crate::clock;
use crate::entropy::SystemEntropy;

type Reply<T> = Result<Response<T>, Status>;

macro_rules! common {
    ($filters:ident) => {
        Common {
            names: &$filters.names,
            name_prefixes: &$filters.name_prefixes,
            id_prefixes: &$filters.id_prefixes,
            labels: Some(&$filters.labels),
        }
    };
}

fn volumes_unsupported<T>() -> Reply<T> {
    let text = "cluster volumes (CSI) are not offered by this version";
    Err(refusal(ControlError::Unsupported(text.into())))
}

fn shown_secret(secret: &Secret) -> api::Secret {
    wire::convert::secret_without_data(secret)
}

#[tonic::async_trait]
impl Control for ControlApi {
    async fn get_node(&self, request: Request<api::GetNodeRequest>) -> Reply<api::GetNodeResponse> {
        let request = request.into_inner();
        let members = self.quorum.members();
        self.view(|state| {
            let found = crud::find(state.nodes(), &request.node_id)?;
            Ok(api::GetNodeResponse {
                node: Some(node::shown(found, &members)),
            })
        })
        .await
    }

    async fn list_nodes(
        &self,
        request: Request<api::ListNodesRequest>,
    ) -> Reply<api::ListNodesResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        let members = self.quorum.members();
        self.view(|state| {
            let nodes = node::list(state, &filters);
            fitting(api::ListNodesResponse {
                nodes: nodes
                    .into_iter()
                    .map(|n| node::shown(n, &members))
                    .collect(),
            })
        })
        .await
    }

    async fn update_node(
        &self,
        request: Request<api::UpdateNodeRequest>,
    ) -> Reply<api::UpdateNodeResponse> {
        let request = request.into_inner();
        let members = self.quorum.members();
        let version = crud::version(request.node_version).or_refuse()?;
        let spec = crud::spec(request.spec).or_refuse()?;
        self.edit(|draft| {
            let updated = node::update(draft, &request.node_id, version, spec, &members)?;
            Ok(api::UpdateNodeResponse {
                node: Some(node::shown(&updated, &members)),
            })
        })
        .await
    }

    async fn remove_node(
        &self,
        request: Request<api::RemoveNodeRequest>,
    ) -> Reply<api::RemoveNodeResponse> {
        let request = request.into_inner();
        let members = self.quorum.members();
        loop {
            let (now, force) = (clock::now(), request.force);
            let remove =
                |draft: &mut _| node::remove(draft, &request.node_id, force, &members, now);
            if self.edit(remove).await?.into_inner() {
                return Ok(Response::new(api::RemoveNodeResponse {}));
            }
        }
    }

    async fn get_task(&self, request: Request<api::GetTaskRequest>) -> Reply<api::GetTaskResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = task::find(state, &request.task_id)?;
            Ok(api::GetTaskResponse {
                task: Some(found.as_ref().into()),
            })
        })
        .await
    }

    async fn list_tasks(
        &self,
        request: Request<api::ListTasksRequest>,
    ) -> Reply<api::ListTasksResponse> {
        let filter = task::TaskFilter::new(request.into_inner().filters.unwrap_or_default());
        self.view(|state| filter.list(state)).await
    }

    async fn remove_task(
        &self,
        request: Request<api::RemoveTaskRequest>,
    ) -> Reply<api::RemoveTaskResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            task::remove(draft, &request.task_id)?;
            Ok(api::RemoveTaskResponse {})
        })
        .await
    }

    async fn get_service(
        &self,
        request: Request<api::GetServiceRequest>,
    ) -> Reply<api::GetServiceResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = service::get(state, &request)?;
            Ok(api::GetServiceResponse {
                service: Some(found),
            })
        })
        .await
    }

    async fn list_services(
        &self,
        request: Request<api::ListServicesRequest>,
    ) -> Reply<api::ListServicesResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            fitting(api::ListServicesResponse {
                services: service::list(state, &filters),
            })
        })
        .await
    }

    async fn create_service(
        &self,
        request: Request<api::CreateServiceRequest>,
    ) -> Reply<api::CreateServiceResponse> {
        let spec = crud::spec(request.into_inner().spec).or_refuse()?;
        self.edit(|draft| {
            let created = service::create(draft, spec, clock::now(), &mut SystemEntropy)?;
            Ok(api::CreateServiceResponse {
                service: Some(created.as_ref().into()),
            })
        })
        .await
    }

    async fn update_service(
        &self,
        request: Request<api::UpdateServiceRequest>,
    ) -> Reply<api::UpdateServiceResponse> {
        let request = request.into_inner();
        let version = crud::version(request.service_version).or_refuse()?;
        let rollback = request.rollback() == api::update_service_request::Rollback::Previous;
        let update = service::Update {
            id: request.service_id,
            version,
            spec: crud::spec(request.spec).or_refuse()?,
            rollback,
        };
        self.edit(|draft| {
            let updated = service::update(draft, update, clock::now())?;
            Ok(api::UpdateServiceResponse {
                service: Some(updated.as_ref().into()),
            })
        })
        .await
    }

    async fn remove_service(
        &self,
        request: Request<api::RemoveServiceRequest>,
    ) -> Reply<api::RemoveServiceResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            service::remove(draft, &request.service_id)?;
            Ok(api::RemoveServiceResponse {})
        })
        .await
    }

    async fn list_service_statuses(
        &self,
        request: Request<api::ListServiceStatusesRequest>,
    ) -> Reply<api::ListServiceStatusesResponse> {
        let services = request.into_inner().services;
        self.view(|state| {
            Ok(api::ListServiceStatusesResponse {
                statuses: service::statuses(state, &services),
            })
        })
        .await
    }

    async fn get_network(
        &self,
        request: Request<api::GetNetworkRequest>,
    ) -> Reply<api::GetNetworkResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = objects::find_network(state, &request.network_id, &request.name)?;
            Ok(api::GetNetworkResponse {
                network: Some(found.as_ref().into()),
            })
        })
        .await
    }

    async fn list_networks(
        &self,
        request: Request<api::ListNetworksRequest>,
    ) -> Reply<api::ListNetworksResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            let found = objects::list(state.networks().iter(), &common!(filters)).into_iter();
            fitting(api::ListNetworksResponse {
                networks: found.map(|n| n.as_ref().into()).collect(),
            })
        })
        .await
    }

    async fn create_network(
        &self,
        request: Request<api::CreateNetworkRequest>,
    ) -> Reply<api::CreateNetworkResponse> {
        let spec = crud::spec(request.into_inner().spec).or_refuse()?;
        self.edit(|draft| {
            let created = objects::create_network(draft, spec, &mut SystemEntropy)?;
            Ok(api::CreateNetworkResponse {
                network: Some(created.as_ref().into()),
            })
        })
        .await
    }

    async fn remove_network(
        &self,
        request: Request<api::RemoveNetworkRequest>,
    ) -> Reply<api::RemoveNetworkResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            objects::remove_network(draft, &request.network_id, &request.name)?;
            Ok(api::RemoveNetworkResponse {})
        })
        .await
    }

    async fn get_cluster(
        &self,
        request: Request<api::GetClusterRequest>,
    ) -> Reply<api::GetClusterResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = cluster::find(state, &request.cluster_id)?;
            Ok(api::GetClusterResponse {
                cluster: Some(cluster::shown(found)),
            })
        })
        .await
    }

    async fn list_clusters(
        &self,
        request: Request<api::ListClustersRequest>,
    ) -> Reply<api::ListClustersResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            Ok(api::ListClustersResponse {
                clusters: cluster::list(state, &filters),
            })
        })
        .await
    }

    async fn update_cluster(
        &self,
        request: Request<api::UpdateClusterRequest>,
    ) -> Reply<api::UpdateClusterResponse> {
        let request = request.into_inner();
        let version = crud::version(request.cluster_version).or_refuse()?;
        let rotation = request.rotation.unwrap_or_default();
        let spec = request
            .spec
            .map(|spec| crud::spec(Some(spec)))
            .transpose()
            .or_refuse()?;
        self.edit(|draft| {
            let updated = cluster::update(
                draft,
                &request.cluster_id,
                version,
                spec,
                rotation,
                &mut SystemEntropy,
            )?;
            Ok(api::UpdateClusterResponse {
                cluster: Some(cluster::shown(&updated)),
            })
        })
        .await
    }

    async fn get_secret(
        &self,
        request: Request<api::GetSecretRequest>,
    ) -> Reply<api::GetSecretResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = crud::find(state.secrets(), &request.secret_id)?;
            Ok(api::GetSecretResponse {
                secret: Some(shown_secret(found)),
            })
        })
        .await
    }

    async fn update_secret(
        &self,
        request: Request<api::UpdateSecretRequest>,
    ) -> Reply<api::UpdateSecretResponse> {
        let request = request.into_inner();
        let version = crud::version(request.secret_version).or_refuse()?;
        let spec = crud::spec(request.spec).or_refuse()?;
        self.edit(|draft| {
            let updated = objects::update_secret(draft, &request.secret_id, version, spec)?;
            Ok(api::UpdateSecretResponse {
                secret: Some(shown_secret(&updated)),
            })
        })
        .await
    }

    async fn list_secrets(
        &self,
        request: Request<api::ListSecretsRequest>,
    ) -> Reply<api::ListSecretsResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            let rows = state.secrets().iter().filter(|s| !s.internal);
            let found = objects::list(rows, &common!(filters)).into_iter();
            fitting(api::ListSecretsResponse {
                secrets: found.map(|row| shown_secret(row)).collect(),
            })
        })
        .await
    }

    async fn create_secret(
        &self,
        request: Request<api::CreateSecretRequest>,
    ) -> Reply<api::CreateSecretResponse> {
        let spec = crud::spec(request.into_inner().spec).or_refuse()?;
        self.edit(|draft| {
            let created = objects::create_secret(draft, spec, &mut SystemEntropy)?;
            Ok(api::CreateSecretResponse {
                secret: Some(shown_secret(&created)),
            })
        })
        .await
    }

    async fn remove_secret(
        &self,
        request: Request<api::RemoveSecretRequest>,
    ) -> Reply<api::RemoveSecretResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            objects::remove_secret(draft, &request.secret_id)?;
            Ok(api::RemoveSecretResponse {})
        })
        .await
    }

    async fn get_config(
        &self,
        request: Request<api::GetConfigRequest>,
    ) -> Reply<api::GetConfigResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = crud::find(state.configs(), &request.config_id)?;
            Ok(api::GetConfigResponse {
                config: Some(found.as_ref().into()),
            })
        })
        .await
    }

    async fn update_config(
        &self,
        request: Request<api::UpdateConfigRequest>,
    ) -> Reply<api::UpdateConfigResponse> {
        let request = request.into_inner();
        let version = crud::version(request.config_version).or_refuse()?;
        let spec = crud::spec(request.spec).or_refuse()?;
        self.edit(|draft| {
            let updated = objects::update_config(draft, &request.config_id, version, spec)?;
            Ok(api::UpdateConfigResponse {
                config: Some(updated.as_ref().into()),
            })
        })
        .await
    }

    async fn list_configs(
        &self,
        request: Request<api::ListConfigsRequest>,
    ) -> Reply<api::ListConfigsResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            let rows = state.configs().iter();
            let found = objects::list(rows, &common!(filters)).into_iter();
            fitting(api::ListConfigsResponse {
                configs: found.map(|row| row.as_ref().into()).collect(),
            })
        })
        .await
    }

    async fn create_config(
        &self,
        request: Request<api::CreateConfigRequest>,
    ) -> Reply<api::CreateConfigResponse> {
        let spec = crud::spec(request.into_inner().spec).or_refuse()?;
        self.edit(|draft| {
            let created = objects::create_config(draft, spec, &mut SystemEntropy)?;
            Ok(api::CreateConfigResponse {
                config: Some(created.as_ref().into()),
            })
        })
        .await
    }

    async fn remove_config(
        &self,
        request: Request<api::RemoveConfigRequest>,
    ) -> Reply<api::RemoveConfigResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            objects::remove_config(draft, &request.config_id)?;
            Ok(api::RemoveConfigResponse {})
        })
        .await
    }

    async fn get_extension(
        &self,
        request: Request<api::GetExtensionRequest>,
    ) -> Reply<api::GetExtensionResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = crud::find(state.extensions(), &request.extension_id)?;
            Ok(api::GetExtensionResponse {
                extension: Some(found.as_ref().into()),
            })
        })
        .await
    }

    async fn create_extension(
        &self,
        request: Request<api::CreateExtensionRequest>,
    ) -> Reply<api::CreateExtensionResponse> {
        let request = request.into_inner();
        let annotations = Annotations::from(request.annotations.unwrap_or_default());
        self.edit(|draft| {
            let created = objects::create_extension(
                draft,
                annotations,
                request.description,
                &mut SystemEntropy,
            )?;
            Ok(api::CreateExtensionResponse {
                extension: Some(created.as_ref().into()),
            })
        })
        .await
    }

    async fn remove_extension(
        &self,
        request: Request<api::RemoveExtensionRequest>,
    ) -> Reply<api::RemoveExtensionResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            objects::remove_extension(draft, &request.extension_id)?;
            Ok(api::RemoveExtensionResponse {})
        })
        .await
    }

    async fn get_resource(
        &self,
        request: Request<api::GetResourceRequest>,
    ) -> Reply<api::GetResourceResponse> {
        let request = request.into_inner();
        self.view(|state| {
            let found = crud::find(state.resources(), &request.resource_id)?;
            Ok(api::GetResourceResponse {
                resource: Some(found.as_ref().into()),
            })
        })
        .await
    }

    async fn update_resource(
        &self,
        request: Request<api::UpdateResourceRequest>,
    ) -> Reply<api::UpdateResourceResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            let updated = objects::update_resource(draft, request)?;
            Ok(api::UpdateResourceResponse {
                resource: Some(updated.as_ref().into()),
            })
        })
        .await
    }

    async fn list_resources(
        &self,
        request: Request<api::ListResourcesRequest>,
    ) -> Reply<api::ListResourcesResponse> {
        let filters = request.into_inner().filters.unwrap_or_default();
        self.view(|state| {
            let of_kind = |r: &&std::sync::Arc<types::Resource>| {
                filters.kind.is_empty() || r.kind == filters.kind
            };
            let rows = state.resources().iter().filter(of_kind);
            let found = objects::list(rows, &common!(filters)).into_iter();
            fitting(api::ListResourcesResponse {
                resources: found.map(|r| r.as_ref().into()).collect(),
            })
        })
        .await
    }

    async fn create_resource(
        &self,
        request: Request<api::CreateResourceRequest>,
    ) -> Reply<api::CreateResourceResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            let created = objects::create_resource(draft, request, &mut SystemEntropy)?;
            Ok(api::CreateResourceResponse {
                resource: Some(created.as_ref().into()),
            })
        })
        .await
    }

    async fn remove_resource(
        &self,
        request: Request<api::RemoveResourceRequest>,
    ) -> Reply<api::RemoveResourceResponse> {
        let request = request.into_inner();
        self.edit(|draft| {
            objects::remove_resource(draft, &request.resource_id)?;
            Ok(api::RemoveResourceResponse {})
        })
        .await
    }

    async fn create_volume(
        &self,
        _: Request<api::CreateVolumeRequest>,
    ) -> Reply<api::CreateVolumeResponse> {
        volumes_unsupported()
    }

    async fn get_volume(&self, _: Request<api::GetVolumeRequest>) -> Reply<api::GetVolumeResponse> {
        volumes_unsupported()
    }

    async fn update_volume(
        &self,
        _: Request<api::UpdateVolumeRequest>,
    ) -> Reply<api::UpdateVolumeResponse> {
        volumes_unsupported()
    }

    async fn list_volumes(
        &self,
        _: Request<api::ListVolumesRequest>,
    ) -> Reply<api::ListVolumesResponse> {
        volumes_unsupported()
    }

    async fn remove_volume(
        &self,
        _: Request<api::RemoveVolumeRequest>,
    ) -> Reply<api::RemoveVolumeResponse> {
        volumes_unsupported()
    }
}
